// Puts an agent together on either transport: report what an earlier process left, register, listen,
// claim.

import { hostname } from 'node:os';
import type { AgentInfo, Identity } from '../db/agents.ts';
import type { CommandTypeDefinition } from '../db/command-types.ts';
import type { Logger } from '../runtime/log.ts';
import packageJson from '../package.json' with { type: 'json' };
import { Agent } from './agent.ts';
import type { ExecutorRegistry } from './executors/executor.ts';
import type { JournalFile } from './journal-file.ts';
import { reportLeftovers } from './journal-leftovers.ts';
import { Journal } from './journal.ts';
import type { LifelineTarget } from './lifeline-messages.ts';
import { Lifeline } from './lifeline.ts';
import { HttpTransport, type Registration } from './transports/http.ts';
import { PostgresTransport } from './transports/postgres.ts';
import type { Transport } from './transports/transport.ts';

/** How to reach the ledger. */
export type LedgerAddress =
  | {
      databaseUrl: string;
      /** Where the lifeline connects, if `databaseUrl` goes through a pooler. */
      directUrl?: string | undefined;
    }
  | { serverUrl: string; pollIntervalMs: number };

export interface StartOptions {
  ledger: LedgerAddress;
  identity: Identity;
  journal: JournalFile;
  executors: ExecutorRegistry;
  /** The contracts of the types among them that are this agent's own. */
  ownTypes?: CommandTypeDefinition[];
  /** Where to look for work; each queue gets twice the share of the next one. */
  queues: string[];
  concurrency: number;
  log: Logger;
}

export interface RunningAgent {
  /** Aborts when a newer process has become this agent. */
  superseded: AbortSignal;
  /**
   * Ends the agent: what runs may finish within `timeoutMs` (when superseded: not at all), the rest is
   * aborted and what is still ours of it given back. Answers whether the ledger could be told.
   */
  stop(timeoutMs: number): Promise<boolean>;
}

/** Registers and starts working. Rejects when the ledger cannot be reached. */
export async function startAgent(options: StartOptions): Promise<RunningAgent> {
  const { ledger, identity, executors, queues, concurrency, log } = options;
  const info: AgentInfo = {
    queues,
    types: [...executors.keys()],
    concurrency,
    host: hostname(),
    pid: process.pid,
    version: packageJson.version,
  };
  const contracts = options.ownTypes ?? [];
  const transport = openTransport(ledger, identity, log);
  const journal = new Journal(options.journal, identity.session, log);
  const agent = new Agent({
    transport,
    journal,
    executors,
    concurrency,
    log,
    stir: (how) => lifeline.stir(how),
  });
  const superseded = new AbortController();
  const lifeline = new Lifeline(targetOf(ledger, { ...identity, ...info, contracts }), {
    log,
    state: () => agent.state(),
    onWork: () => agent.wake(),
    onRevoked: (attempts) => agent.revoke(attempts),
    onCancelled: (ids) => agent.cancel(ids),
    onSuperseded: () => superseded.abort(),
  });
  // Its thread loads while the ledger is told that we are here.
  lifeline.load();
  try {
    await reportLeftovers(options.journal, transport, log);
    const takenBack = await transport.register(info, contracts);
    await lifeline.open();
    log.info({ concurrency, queues, session: identity.session, takenBack }, 'ready');
  } catch (error) {
    await lifeline.close();
    await transport.close();
    throw error;
  }
  // Where claims wait for work nobody needs to say that there is some.
  if (transport.pollIntervalMs !== undefined) agent.wake();

  const stop = async (timeoutMs: number) => {
    const drained = agent.drain(superseded.signal.aborted ? 0 : timeoutMs);
    // People who look see it drain, not claim nothing for no reason.
    lifeline.stir('beat');
    const said = await drained;
    await lifeline.close();
    await transport.close();
    return said;
  };
  return { superseded: superseded.signal, stop };
}

function openTransport(ledger: LedgerAddress, identity: Identity, log: Logger): Transport {
  return 'serverUrl' in ledger
    ? new HttpTransport(ledger.serverUrl, identity, ledger.pollIntervalMs)
    : new PostgresTransport(ledger.databaseUrl, identity, log);
}

function targetOf(ledger: LedgerAddress, registration: Registration): LifelineTarget {
  if ('serverUrl' in ledger) return { serverUrl: ledger.serverUrl, registration };
  const { agentId, session, queues, types } = registration;
  return {
    url: ledger.directUrl ?? ledger.databaseUrl,
    identity: { agentId, session },
    subscription: { queues, types },
  };
}
