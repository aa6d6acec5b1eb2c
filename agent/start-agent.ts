// Puts an agent together on the Postgres transport: register, listen, claim.

import { hostname } from 'node:os';
import type { Identity } from '../db/agents.ts';
import type { Logger } from '../runtime/log.ts';
import packageJson from '../package.json' with { type: 'json' };
import { Agent } from './agent.ts';
import type { ExecutorRegistry } from './executors/executor.ts';
import { Lifeline } from './lifeline.ts';
import { PostgresTransport } from './transports/postgres.ts';

export interface StartOptions {
  databaseUrl: string;
  identity: Identity;
  executors: ExecutorRegistry;
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

/** Registers and starts working. Rejects when the database cannot be reached. */
export async function startAgent(options: StartOptions): Promise<RunningAgent> {
  const { databaseUrl, identity, executors, concurrency, log } = options;
  const transport = new PostgresTransport(databaseUrl, identity, log);
  const agent = new Agent({ transport, executors, concurrency, log });
  const superseded = new AbortController();
  const lifeline = new Lifeline(databaseUrl, {
    identity,
    log,
    state: () => agent.state(),
    onWork: () => agent.wake(),
    onBeat: (answer) => (answer.superseded ? superseded.abort() : agent.heed(answer)),
  });
  const takenBack = await transport.register({
    concurrency,
    host: hostname(),
    pid: process.pid,
    version: packageJson.version,
  });
  await lifeline.open();
  log.info({ concurrency, session: identity.session, takenBack }, 'ready');

  const stop = async (timeoutMs: number) => {
    const said = await agent.drain(superseded.signal.aborted ? 0 : timeoutMs);
    await lifeline.close();
    await transport.close();
    return said;
  };
  return { superseded: superseded.signal, stop };
}
