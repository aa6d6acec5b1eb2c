// An agent behind a pooler in transaction mode, without DATABASE_DIRECT_URL.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { expectStatus, runAgent } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { beatEvery, lastBeat, lifelines, lockHolder } from '../support/lifeline.ts';
import { startPooler, type Pooler } from '../support/pooler.ts';
import { submit } from '../support/session.ts';
import { recordingLog } from '../support/ticker.ts';

const database = useDatabase();
let pooler: Pooler;

beforeEach(async () => {
  await beatEvery(database(), 100);
  pooler = await startPooler(database().url);
});

afterEach(async () => {
  await pooler[Symbol.asyncDispose]();
  await database().pool.query('truncate executor.commands, executor_queue.job cascade');
});

const PATIENT = { timeout: 10_000, interval: 20 };

const throughPooler = () => ({ ...database(), url: pooler.url });

/** Waits until the agent has beaten over another connection than these. */
async function reconnected(agentId: string, before: number[]): Promise<void> {
  await vi.waitFor(async () => {
    const now = await lifelines(database());
    expect(now).toHaveLength(1);
    expect(before).not.toContain(now[0]);
  }, PATIENT);
  const at = await lastBeat(database(), agentId);
  await vi.waitFor(
    async () => expect(await lastBeat(database(), agentId)).toBeGreaterThan(at),
    PATIENT,
  );
}

async function countsLock(agentId: string): Promise<boolean | undefined> {
  const { rows } = await database().pool.query<{ session_lock: boolean }>(
    'select session_lock from executor.agents where id = $1',
    [agentId],
  );
  return rows[0]?.session_lock;
}

test('without hearing a NOTIFY it executes what waits, and ends what is cancelled', async () => {
  await using _agent = await runAgent(throughPooler(), (payload) =>
    (payload as { ms: number }).ms === 0 ? Promise.resolve({}) : new Promise(() => {}),
  );
  await submit(database(), 3);
  const [endless] = await submit(database(), 1, { ms: 1 });
  await expectStatus(database(), 'COMPLETED', 3);
  await expectStatus(database(), 'RUNNING', 1);
  await database().pool.query('select executor.cancel_command($1)', [endless]);
  await expectStatus(database(), 'CANCELLED', 1);
});

test('it holds no session lock, and says once how it could', async () => {
  const { log, logged } = recordingLog();
  await using agent = await runAgent(throughPooler(), undefined, { log });
  await submit(database());
  await expectStatus(database(), 'COMPLETED', 1);
  expect(await lockHolder(database(), agent.agentId)).toBeUndefined();
  expect(await countsLock(agent.agentId)).toBe(false);
  const before = await lifelines(database());
  pooler.become('pooler');
  await reconnected(agent.agentId, before);
  expect(await lockHolder(database(), agent.agentId)).toBeUndefined();
  const warnings = logged.filter(({ msg }) => /DATABASE_DIRECT_URL/.test(String(msg)));
  expect(warnings).toHaveLength(1);
});

test('with DATABASE_DIRECT_URL it holds its session lock and has nothing to complain of', async () => {
  const { log, logged } = recordingLog();
  const ledger = { databaseUrl: throughPooler().url, directUrl: database().url };
  await using agent = await runAgent(throughPooler(), undefined, { log, ledger });
  expect(await lifelines(database())).toEqual([await lockHolder(database(), agent.agentId)]);
  await submit(database());
  await expectStatus(database(), 'COMPLETED', 1);
  expect(logged.map(({ msg }) => msg)).toEqual(['ready', 'completed']);
});

test('a lifeline that comes back through a pooler makes no live agent look dead', async () => {
  pooler.become('proxy');
  await using agent = await runAgent(throughPooler());
  expect(await countsLock(agent.agentId)).toBe(true);
  const before = await lifelines(database());
  pooler.become('pooler');
  await reconnected(agent.agentId, before);
  expect(await countsLock(agent.agentId)).toBe(false);
});
