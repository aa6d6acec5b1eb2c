// The server's ticks when all is well: on time, and few.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { expectStatus, runAgent } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { startSession } from '../support/session.ts';
import {
  expectTicks,
  recordStatements,
  startTicker,
  TICK,
  type TestTicker,
} from '../support/ticker.ts';

const database = useDatabase();

beforeEach(() => execute('truncate executor.commands, executor_queue.job cascade'));
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const HOUR_MS = 3_600_000;

async function execute(statement: string, values: unknown[] = []) {
  return await database().pool.query<Record<string, unknown>>(statement, values);
}

/** Submits a deferred command as people do in psql. */
async function defer(delayMs: number): Promise<void> {
  const options = JSON.stringify({ delayMs });
  await execute(`select executor.submit_command('DELAY', '{"ms": 0}', $1)`, [options]);
}

/**
 * Stops the clock and the timers of this process, which expectReady() moves on: for less than a second, so
 * that no regular tick ever comes. What is deferred gets ready only if the ticker looks when it is due.
 */
function stopTime(offMs = 0): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => now() + offMs);
}

/** Waits until the ticker has ticked and rests. (vi.waitFor() would let its time pass.) */
async function ticked(): Promise<void> {
  const resting = `select from pg_stat_activity
    where datname = current_database() and application_name = 'agent-executor server ticker'
      and state = 'idle' and query = $1`;
  for (let look = 0; look < 1_000; look += 1) {
    if ((await execute(resting, [TICK])).rows.length > 0) return;
    await execute('select pg_sleep(0.01)');
  }
  throw new Error('the ticker does not tick');
}

/** That one more tick, for which no second passes, makes ready what is due in the database by then. */
async function expectReady({ ticker }: TestTicker): Promise<void> {
  await execute('select pg_sleep_until(max(run_at)) from executor.commands');
  const sent = recordStatements();
  for (let passedMs = 0; passedMs < 950 && !sent().includes(TICK); passedMs += 10) {
    await vi.advanceTimersByTimeAsync(10);
    await execute('select pg_sleep(0.01)');
  }
  await ticker.close();
  const { rows } = await execute('select distinct status::text from executor.commands');
  expect(rows).toEqual([{ status: 'PENDING' }]);
}

test.each([0, -HOUR_MS, HOUR_MS])(
  'what is deferred is ready when it is due, also when our clock is %d ms off',
  async (offMs) => {
    stopTime(offMs);
    await using ticker = await startTicker(database());
    await ticked();
    // 600 ms after that tick, and not after now: a busy machine must not take us to the next one.
    await execute(
      `select executor.submit_command(
         'DELAY', '{"ms": 0}', jsonb_build_object('runAt', ticked_at + interval '600 ms'))
       from executor.clock`,
    );
    await expectReady(ticker);
  },
);

test('so is what was deferred before the server came', async () => {
  stopTime();
  await defer(600);
  await using ticker = await startTicker(database());
  await ticked();
  await expectReady(ticker);
});

test('so is a retry when its pause is over', async () => {
  await using session = await startSession(database());
  const noPause = JSON.stringify({ backoff: { initialMs: 0 } });
  await execute(`select executor.submit_command('DELAY', '{"ms": 0}', $1)`, [noPause]);
  const [claimed] = await session.claim();
  const report = { ...claimed, session: session.session, outcome: 'failed' };
  stopTime();
  await using ticker = await startTicker(database());
  await ticked();
  await execute('select executor.finish($1)', [JSON.stringify([report])]);
  await expectReady(ticker);
});

test('most start before the next regular tick, one after another', async () => {
  await using _agent = await runAgent(database());
  await using _ticker = await startTicker(database());
  let before = 0;
  for (const count of [1, 2, 3, 4, 5]) {
    const { rows } = await execute(`select ticked_at + interval '1 s' as at from executor.clock`);
    await defer(230);
    await expectStatus(database(), 'COMPLETED', count);
    const late = await execute('select from executor.commands where started_at > $1', [
      rows[0]?.['at'],
    ]);
    before += 1 - late.rows.length;
  }
  expect(before).toBeGreaterThanOrEqual(3);
});

test('with two servers, each command starts once and not early', async () => {
  await using _agent = await runAgent(database());
  await using _ticker = await startTicker(database());
  await using _other = await startTicker(database());
  for (let i = 0; i < 30; i += 1) await defer(50 + Math.floor(850 * Math.random()));
  await expectStatus(database(), 'COMPLETED', 30);
  const { rows } = await execute(
    'select distinct attempt, started_at >= run_at as in_time from executor.commands',
  );
  expect(rows).toEqual([{ attempt: 1, in_time: true }]);
});

test.each([0, HOUR_MS])(
  'an idle server sends a tick a second and nothing else, also when commands wait and its clock is %d ms off',
  async (offMs) => {
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + offMs);
    await using _server = await startServer(database());
    await defer(HOUR_MS);
    const sent = recordStatements();
    const startedAtMs = performance.now();
    await using _ticker = await startTicker(database());
    await expectTicks(sent, 4);
    expect(performance.now() - startedAtMs).toBeGreaterThan(2_900);
    expect(sent()).toEqual(['listen "executor_due"', TICK, TICK, TICK, TICK]);
  },
);

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
