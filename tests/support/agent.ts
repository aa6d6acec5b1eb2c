// An agent inside the test's process, with executors that the test steers. In the project `over-http` it
// reaches the ledger through a server of its own, unless the test says how.

import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import pino from 'pino';
import { expect, inject, vi } from 'vitest';
import { z } from 'zod';
import { createRegistry } from '../../agent/executors/registry.ts';
import { defineExecutor, type ExecutorContext } from '../../agent/executors/executor.ts';
import { openJournal } from '../../agent/journal-identity.ts';
import { startAgent, type LedgerAddress, type RunningAgent } from '../../agent/start-agent.ts';
import type { Database } from '../../db/connect.ts';
import type { Logger } from '../../runtime/log.ts';
import { temporaryDirectory } from './postgres.ts';
import { startServer } from './server.ts';
import { startTicker } from './ticker.ts';

type Execute = (payload: unknown, context: ExecutorContext) => Promise<unknown>;

declare module 'vitest' {
  export interface ProvidedContext {
    /** How the agents of this project reach the ledger. */
    agentsOver?: 'http';
  }
}

export const isOverHttp = (): boolean => inject('agentsOver') === 'http';

export interface AgentOptions {
  concurrency?: number;
  agentId?: string;
  /** Instead of what the project says. */
  ledger?: LedgerAddress;
  queues?: string[];
  /** Where its journal is; a directory of its own unless given. */
  dataDir?: string;
  log?: Logger;
}

export interface TestAgent extends RunningAgent {
  agentId: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts an agent whose DELAY is `execute`; it stops, giving back what runs, at the scope's end. */
export async function runAgent(
  database: Database & { url: string },
  execute: Execute = () => Promise.resolve({ ok: true }),
  options: AgentOptions = {},
): Promise<TestAgent> {
  const agentId = options.agentId ?? `agent-${randomUUID().slice(0, 8)}`;
  const dataDir = options.dataDir ?? (await temporaryDirectory());
  await using opened = new AsyncDisposableStack();
  const journal = openJournal(dataDir, agentId);
  opened.defer(() => journal.close());
  const ledger = options.ledger ?? (await ledgerOf(database, opened));
  const agent = await startAgent({
    ledger,
    identity: { agentId, session: randomUUID() },
    journal: journal.file,
    executors: createRegistry([
      defineExecutor({
        type: 'DELAY',
        description: 'steered by the test',
        payload: z.unknown(),
        result: z.unknown(),
        timeout: { defaultMs: 60_000 },
        execute,
      }),
    ]),
    queues: options.queues ?? ['default'],
    concurrency: options.concurrency ?? 10,
    log: options.log ?? pino({ level: 'silent' }),
  });
  const resources = opened.move();
  let stopped: Promise<boolean> | undefined;
  const stop = async (timeoutMs: number) => {
    const said = await agent.stop(timeoutMs);
    await resources.disposeAsync();
    if (!options.dataDir) rmSync(dataDir, { recursive: true });
    return said;
  };
  return {
    superseded: agent.superseded,
    agentId,
    stop: (timeoutMs) => (stopped ??= stop(timeoutMs)),
    [Symbol.asyncDispose]: async () => void (await (stopped ??= stop(0))),
  };
}

/** Straight to the database, or a server in front of it, which ticks as servers do. */
async function ledgerOf(
  database: Database & { url: string },
  opened: AsyncDisposableStack,
): Promise<LedgerAddress> {
  if (!isOverHttp()) return { databaseUrl: database.url };
  // A server checks results, and what tests have DELAY answer is no DELAY's.
  await database.pool.query(
    `update executor.command_types set result_schema = '{}' where type = 'DELAY'`,
  );
  const server = opened.use(await startServer(database));
  opened.use(await startTicker(database));
  return { serverUrl: server.url, pollIntervalMs: 100 };
}

/** Waits until `count` commands have this status. */
export async function expectStatus(
  database: Database,
  status: string,
  count: number,
  timeout = 15_000,
): Promise<void> {
  await vi.waitFor(
    async () => {
      const { rows } = await database.pool.query<{ count: number }>(
        'select count(*)::int as count from executor.commands where status::text = $1',
        [status],
      );
      expect(rows[0]?.count).toBe(count);
    },
    { timeout, interval: 20 },
  );
}
