// The lifeline of an agent inside the test's process: its thread, its connection, its beat.

import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { expectStatus, runAgent } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { beatEvery, lastBeat, lifelines, lockHolder } from '../support/lifeline.ts';
import { row, submit } from '../support/session.ts';

const database = useDatabase();

const never = () => new Promise<never>(() => {});

const PATIENT = { timeout: 10_000, interval: 20 };

// So seldom that nothing here can be the next beat's doing, where a test does not say otherwise.
beforeEach(() => beatEvery(database(), 60_000));

afterEach(async () => {
  await database().pool.query('truncate executor.commands, executor_queue.job cascade');
});

test('the session lock is held by the connection that listens', async () => {
  await using agent = await runAgent(database());
  expect(await lifelines(database())).toEqual([await lockHolder(database(), agent.agentId)]);
});

test('an agent whose lifeline was cut holds its session lock again and hears of work', async () => {
  await using agent = await runAgent(database());
  const [cut] = await lifelines(database());
  await database().pool.query('select pg_terminate_backend($1)', [cut]);
  await vi.waitFor(async () => {
    const holder = await lockHolder(database(), agent.agentId);
    expect(holder).toEqual(expect.any(Number));
    expect(holder).not.toBe(cut);
  }, PATIENT);
  await submit(database());
  await expectStatus(database(), 'COMPLETED', 1);
});

test('a session lock that another connection holds counts for nothing until it is taken back', async () => {
  await beatEvery(database(), 50);
  await using agent = await runAgent(database());
  const other = await database().pool.connect();
  const [cut] = await lifelines(database());
  // Waits in line: the lifeline, which only tries, comes too late for it.
  const taken = other.query(
    'select pg_advisory_lock(executor.session_lock_key(session)) from executor.agents where id = $1',
    [agent.agentId],
  );
  await vi.waitFor(async () => {
    const { rows } = await database().pool.query('select from pg_locks where not granted');
    expect(rows).toHaveLength(1);
  }, PATIENT);
  await database().pool.query('select pg_terminate_backend($1)', [cut]);
  await taken;
  await vi.waitFor(async () => expect(await countsLock(agent.agentId)).toBe(false), PATIENT);
  other.release(true);
  await vi.waitFor(async () => expect(await countsLock(agent.agentId)).toBe(true), PATIENT);
  expect(await lifelines(database())).toEqual([await lockHolder(database(), agent.agentId)]);
});

test('what the agent no longer owns is aborted at the next beat', async () => {
  await beatEvery(database(), 50);
  const signals: AbortSignal[] = [];
  // With its only slot taken the agent cannot claim the command again before it has aborted it.
  await using _agent = await runAgent(
    database(),
    (_payload, { signal, attempt }) => {
      signals.push(signal);
      return attempt === 1 ? never() : Promise.resolve({});
    },
    { concurrency: 1 },
  );
  await submit(database());
  await expectStatus(database(), 'RUNNING', 1);
  await takeBack();
  await expectStatus(database(), 'COMPLETED', 1);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
});

test('an attempt whose command the agent claims anew is aborted, and the new one is kept', async () => {
  await beatEvery(database(), 50);
  const signals: AbortSignal[] = [];
  await using agent = await runAgent(database(), (_payload, { signal }) => {
    signals.push(signal);
    return never();
  });
  const [id] = await submit(database());
  await expectStatus(database(), 'RUNNING', 1);
  await takeBack();
  await vi.waitFor(
    () => expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]),
    PATIENT,
  );
  const seen = await lastBeat(database(), agent.agentId);
  await vi.waitFor(
    async () => expect(await lastBeat(database(), agent.agentId)).toBeGreaterThan(seen + 200),
    PATIENT,
  );
  expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 2 });
});

async function countsLock(agentId: string): Promise<boolean | undefined> {
  const { rows } = await database().pool.query<{ session_lock: boolean }>(
    'select session_lock from executor.agents where id = $1',
    [agentId],
  );
  return rows[0]?.session_lock;
}

/** As if the agent had been lost. */
async function takeBack(): Promise<void> {
  await database().pool.query(
    `select executor.close_attempts(session, executor.claims_of(agent_id, session), 'lost')
     from executor.commands`,
  );
}

test('the agent beats as often as the database says', async () => {
  await beatEvery(database(), 100);
  await using agent = await runAgent(database());
  const beats = new Set<number>();
  await vi.waitFor(async () => {
    beats.add(await lastBeat(database(), agent.agentId));
    expect(beats.size).toBeGreaterThan(10);
  }, PATIENT);
  const [first = 0, ...rest] = [...beats];
  expect((rest.at(-1)! - first) / rest.length).toBeGreaterThan(80);
});

test('a lone agent ticks: a deferred command starts though no server lives', async () => {
  await beatEvery(database(), 5_000);
  await using _agent = await runAgent(database());
  await database().pool.query(
    `select executor.submit_command('DELAY', '{"ms": 0}', '{"delayMs": 100}')`,
  );
  await expectStatus(database(), 'COMPLETED', 1, 7_000);
});

test('a lifeline whose thread ends is replaced at once', async () => {
  const started = once(process, 'worker') as Promise<[Worker]>;
  await using agent = await runAgent(database());
  const [thread] = await started;
  const before = await lockHolder(database(), agent.agentId);
  await thread.terminate();
  await vi.waitFor(async () => {
    const holder = await lockHolder(database(), agent.agentId);
    expect(holder).toEqual(expect.any(Number));
    expect(holder).not.toBe(before);
  }, PATIENT);
  await submit(database());
  await expectStatus(database(), 'COMPLETED', 1);
});

test('a clean stop leaves no backend and no thread', async () => {
  const started = once(process, 'worker') as Promise<[Worker]>;
  const agent = await runAgent(database());
  const [thread] = await started;
  const exited = once(thread, 'exit');
  expect(await agent.stop(1_000)).toBe(true);
  expect(await exited).toEqual([0]);
  await vi.waitFor(async () => expect(await lifelines(database())).toEqual([]), PATIENT);
});

test('an agent whose lifeline cannot connect does not start, and leaves no thread', async () => {
  const started = once(process, 'worker') as Promise<[Worker]>;
  await expect(
    runAgent(database(), undefined, {
      ledger: { databaseUrl: database().url, directUrl: 'postgres://127.0.0.1:1/nowhere' },
    }),
  ).rejects.toThrow(/^Cannot reach the database: .*ECONNREFUSED/);
  const [thread] = await started;
  await vi.waitFor(() => expect(thread.threadId).toBe(-1), PATIENT);
});

test('an agent that cannot register does not start, and leaves no thread', async () => {
  const started = once(process, 'worker') as Promise<[Worker]>;
  const databaseUrl = 'postgres://127.0.0.1:1/nowhere';
  const ledger = { databaseUrl, directUrl: database().url };
  await expect(runAgent(database(), undefined, { ledger })).rejects.toThrow(/ECONNREFUSED/);
  const [thread] = await started;
  await vi.waitFor(() => expect(thread.threadId).toBe(-1), PATIENT);
});
