// An agent inside the test's process, with executors that the test steers.

import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import pino from 'pino';
import { expect, vi } from 'vitest';
import { z } from 'zod';
import { createRegistry } from '../../agent/executors/registry.ts';
import { defineExecutor, type ExecutorContext } from '../../agent/executors/executor.ts';
import { openJournal } from '../../agent/journal-identity.ts';
import { startAgent, type RunningAgent } from '../../agent/start-agent.ts';
import type { Database } from '../../db/connect.ts';
import type { Logger } from '../../runtime/log.ts';
import { temporaryDirectory } from './postgres.ts';

type Execute = (payload: unknown, context: ExecutorContext) => Promise<unknown>;

export interface AgentOptions {
  concurrency?: number;
  agentId?: string;
  directUrl?: string;
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
  const journal = openJournal(dataDir, agentId);
  const agent = await startAgent({
    databaseUrl: database.url,
    directUrl: options.directUrl,
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
  let stopped: Promise<boolean> | undefined;
  const stop = async (timeoutMs: number) => {
    const said = await agent.stop(timeoutMs);
    journal.close();
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
