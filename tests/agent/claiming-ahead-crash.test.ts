// What an agent claimed ahead of its slots, and what keeps it from beginning it: a slow command, a crash.

import { beforeEach, expect, test, vi } from 'vitest';
import { v7 } from 'uuid';
import { submitCommands } from '../../db/commands.ts';
import { expectStatus, runAgent } from '../support/agent.ts';
import { useAgentProcesses } from '../support/agent-process.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { source, useDirectory, write } from '../support/executor-files.ts';
import { submit } from '../support/session.ts';

const database = useDatabase();
const { ready } = useAgentProcesses(database);
const blocking = useDirectory();
const harmless = useDirectory();

// Before each and not after: what a test leaves behind is for the fixture to check.
beforeEach(() => emptyLedger(database()));

async function count(condition: string): Promise<number> {
  const { rows } = await database().pool.query<{ count: number }>(
    `select count(*)::int as count from executor.commands where ${condition}`,
  );
  return rows[0]?.count ?? 0;
}

test('what waits behind a command that takes long is executed by another agent, unharmed', async () => {
  const gate = Promise.withResolvers<void>();
  const execute = (payload: unknown) =>
    (payload as { ms: number }).ms === 0 ? Promise.resolve() : gate.promise;
  await submit(database(), 300);
  await submit(database(), 1, { ms: 1 });
  await submit(database(), 100);
  await using _slow = await runAgent(database(), execute, { concurrency: 1 });
  await vi.waitFor(async () => {
    const { rows } = await database().pool.query(
      `select from executor.attempts where outcome = 'unstarted'`,
    );
    expect(rows).not.toEqual([]);
  }, 10_000);
  await expectStatus(database(), 'RUNNING', 1);

  await using other = await runAgent(database(), execute, { concurrency: 1 });
  await expectStatus(database(), 'COMPLETED', 400);
  gate.resolve();
  await expectStatus(database(), 'COMPLETED', 401);
  expect(await count(`attempt > 1 and agent_id = '${other.agentId}'`)).toBeGreaterThan(0);
  expect(await count('losses > 0 or failures > 0')).toBe(0);
});

test('what waited in a process that was killed is executed by another, and lost once', async () => {
  const stuck = { type: `'STUCK'`, payload: 'z.object({})' };
  const block = `() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)`;
  write(blocking(), { 'stuck.ts': source({ ...stuck, execute: block }) });
  write(harmless(), { 'stuck.ts': source({ ...stuck, execute: 'async () => ({})' }) });
  const { agent } = await ready({ EXECUTORS_DIR: blocking(), CONCURRENCY: '1' });
  await submitCommands(
    database().pool,
    Array.from({ length: 400 }, (_, i) => ({
      id: v7(),
      ...(i === 300 ? { type: 'STUCK', payload: {} } : { type: 'DELAY', payload: { ms: 0 } }),
    })),
  );
  // Its event loop stands still: so does what it claimed and cannot give back.
  await vi.waitFor(async () => {
    expect(await count(`status = 'RUNNING' and type = 'STUCK'`)).toBe(1);
    expect(await count(`status = 'RUNNING'`)).toBeGreaterThan(1);
  }, 10_000);
  agent.kill('SIGKILL');
  await agent.exited;

  await ready({ EXECUTORS_DIR: harmless() });
  await expectStatus(database(), 'COMPLETED', 400);
  const lost = await count('losses = 1 and attempt = 2');
  expect(lost).toBeGreaterThan(1);
  // What the process had executed its journal knew.
  expect(await count('losses = 0 and failures = 0 and attempt = 1')).toBe(400 - lost);
});
