// An agent inside the test's process, with executors that the test steers.

import { randomUUID } from 'node:crypto';
import pino from 'pino';
import { expect, vi } from 'vitest';
import { z } from 'zod';
import { createRegistry } from '../../agent/executors/registry.ts';
import { defineExecutor, type ExecutorContext } from '../../agent/executors/executor.ts';
import { startAgent, type RunningAgent } from '../../agent/start-agent.ts';
import type { Database } from '../../db/connect.ts';

type Execute = (payload: unknown, context: ExecutorContext) => Promise<unknown>;

export interface TestAgent extends RunningAgent {
  agentId: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts an agent whose DELAY is `execute`; it stops, giving back what runs, at the scope's end. */
export async function runAgent(
  database: Database & { url: string },
  execute: Execute = () => Promise.resolve({ ok: true }),
  options: { concurrency?: number; agentId?: string } = {},
): Promise<TestAgent> {
  const agentId = options.agentId ?? `agent-${randomUUID().slice(0, 8)}`;
  const agent = await startAgent({
    databaseUrl: database.url,
    identity: { agentId, session: randomUUID() },
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
    concurrency: options.concurrency ?? 10,
    log: pino({ level: 'silent' }),
  });
  return { ...agent, agentId, [Symbol.asyncDispose]: async () => void (await agent.stop(0)) };
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
