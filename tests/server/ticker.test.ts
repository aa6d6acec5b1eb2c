// The server's ticks when all is well: on time, and few.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { expectStatus, runAgent } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { expectTicks, recordStatements, startTicker, TICK } from '../support/ticker.ts';

const database = useDatabase();

beforeEach(() => execute('truncate executor.commands, executor.attempts, executor_queue.job'));
afterEach(() => void vi.restoreAllMocks());

const HOUR_MS = 3_600_000;

/** Time is measured here, on a machine that may be busy with other tests. */
const onTime = { retry: 2 };

async function execute(statement: string, values: unknown[] = []) {
  return await database().pool.query<Record<string, unknown>>(statement, values);
}

/** Submits a deferred command as people do in psql. */
async function defer(delayMs: number): Promise<void> {
  const options = JSON.stringify({ delayMs });
  await execute(`select executor.submit_command('DELAY', '{"ms": 0}', $1)`, [options]);
}

/** That commands got their latest start within 250 ms of their time: 99 of 100, 9 of 10. */
async function expectOnTime(): Promise<void> {
  const { rows } = await database().pool.query<{ ms: number }>(
    `select extract(epoch from started_at - run_at)::float8 * 1000 as ms
     from executor.commands
     order by 1`,
  );
  expect(rows.at(0)?.ms).toBeGreaterThanOrEqual(0);
  expect(rows.at(Math.floor(rows.length * 0.99) - 1)?.ms).toBeLessThan(250);
}

test('99 of 100 deferred commands start within 250 ms of their time', onTime, async () => {
  await using _agent = await runAgent(database());
  await using _ticker = await startTicker(database());
  for (let i = 0; i < 100; i += 1) await defer(50 + Math.floor(850 * Math.random()));
  await expectStatus(database(), 'COMPLETED', 100);
  await expectOnTime();
});

test('one that nothing else precedes starts on time too', onTime, async () => {
  await using _agent = await runAgent(database());
  await using _ticker = await startTicker(database());
  for (const count of [1, 2, 3, 4, 5, 6]) {
    await defer(230);
    await expectStatus(database(), 'COMPLETED', count);
  }
  await expectOnTime();
});

test('with two servers too, each of them once', onTime, async () => {
  await using _agent = await runAgent(database());
  await using _ticker = await startTicker(database());
  await using _other = await startTicker(database());
  for (let i = 0; i < 30; i += 1) await defer(50 + Math.floor(850 * Math.random()));
  await expectStatus(database(), 'COMPLETED', 30);
  await expectOnTime();
  const { rows } = await execute('select distinct attempt from executor.commands');
  expect(rows).toEqual([{ attempt: 1 }]);
});

test('a retry starts within 250 ms of its time', onTime, async () => {
  const failed = new Set<string>();
  const failOnce = async (_: unknown, { commandId }: { commandId: string }) => {
    if (failed.has(commandId)) return { ok: true };
    failed.add(commandId);
    throw new Error('not yet');
  };
  await using _agent = await runAgent(database(), failOnce);
  await using _ticker = await startTicker(database());
  await execute(
    `select executor.submit_command('DELAY', '{"ms": 0}', '{"backoff": {"initialMs": 700}}')
     from generate_series(1, 10)`,
  );
  await expectStatus(database(), 'COMPLETED', 10);
  expect(failed.size).toBe(10);
  await expectOnTime();
});

test.each([-HOUR_MS, HOUR_MS])('a clock that is %d ms off does no harm', onTime, async (offMs) => {
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => now() + offMs);
  const sent = recordStatements();
  await using _agent = await runAgent(database());
  await using _ticker = await startTicker(database());
  for (let i = 0; i < 10; i += 1) await defer(300 + i * 50);
  await expectStatus(database(), 'COMPLETED', 10);
  await expectOnTime();
  expect(sent().filter((text) => text === TICK).length).toBeLessThan(30);
});

test('an idle server sends a tick a second and nothing else, also while commands wait', async () => {
  await using _server = await startServer(database());
  await defer(HOUR_MS);
  const sent = recordStatements();
  const startedAtMs = performance.now();
  await using _ticker = await startTicker(database());
  await expectTicks(sent, 4);
  expect(performance.now() - startedAtMs).toBeGreaterThan(2_900);
  expect(sent()).toEqual(['listen "executor_due"', TICK, TICK, TICK, TICK]);
});

test('what is due and locked is not asked for again and again', async () => {
  await using _agent = await runAgent(database());
  await defer(HOUR_MS);
  await execute('update executor.commands set run_at = created_at');
  const holder = await database().pool.connect();
  await holder.query('begin');
  await holder.query('select from executor.commands for update');
  const sent = recordStatements();
  const startedAtMs = performance.now();
  await using _ticker = await startTicker(database());
  await expectTicks(sent, 3);
  expect(performance.now() - startedAtMs).toBeGreaterThan(1_900);
  await holder.query('commit');
  holder.release();
  await expectStatus(database(), 'COMPLETED', 1);
});

test('thousands that are due at once wait for no further second', async () => {
  await using _ticker = await startTicker(database());
  await execute(
    `select executor.submit(jsonb_agg(jsonb_build_object(
       'id', executor.uuid_v7(), 'type', 'DELAY', 'payload', '{"ms": 0}'::jsonb, 'delayMs', 1500
     )))
     from generate_series(1, 3500)`,
  );
  await expectStatus(database(), 'PENDING', 3_500);
  const { rows } = await database().pool.query<{ seconds: number }>(
    'select extract(epoch from max(updated_at - run_at))::float8 as seconds from executor.commands',
  );
  expect(rows[0]?.seconds).toBeLessThan(2.5);
});

test('a payload that says nothing is ignored', async () => {
  const sent = recordStatements();
  await using ticker = await startTicker(database());
  await expectTicks(sent, 1);
  const startedAtMs = performance.now();
  for (const payload of ['', 'soon', 'NaN', 'Infinity', '99999999999999'])
    await execute(`select pg_notify('executor_due', $1)`, [payload]);
  await expectTicks(sent, 3);
  // An empty one counts as 1970: one tick at once.
  expect(performance.now() - startedAtMs).toBeGreaterThan(900);
  expect(ticker.logged).toEqual([]);
});
