// The server's ticks in trouble: slow, failing, cut off, stopped.

import { Client } from 'pg';
import { afterEach, beforeEach, expect, inject, onTestFinished, test, vi } from 'vitest';
import { Complaints } from '../../server/complaints.ts';
import { expectStatus, runAgent } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import {
  createTicker,
  END_TICKERS,
  expectTicks,
  recordingLog,
  recordStatements,
  startTicker,
  TICK,
} from '../support/ticker.ts';

const database = useDatabase();

beforeEach(() => execute('truncate executor.commands, executor_queue.job cascade'));
afterEach(() => void vi.restoreAllMocks());

async function execute(statement: string) {
  return await database().pool.query(statement);
}

async function defer(delayMs: number): Promise<void> {
  await execute(`select executor.submit_command('DELAY', '{"ms": 0}', '{"delayMs": ${delayMs}}')`);
}

/** Has every tick wait in its middle until the answer is called. */
async function holdTicks() {
  const holder = await database().pool.connect();
  await holder.query('begin; lock table executor.clock');
  await vi.waitFor(async () => {
    const waiting = `select from pg_locks where relation = 'executor.clock'::regclass and not granted`;
    expect((await execute(waiting)).rowCount).toBe(1);
  }, 3_000);
  return async () => {
    await holder.query('commit');
    holder.release();
  };
}

test('a slow tick is waited for, and said once', async () => {
  const sent = recordStatements();
  await using ticker = await startTicker(database());
  for (const ticks of [1, 3]) {
    await expectTicks(sent, ticks);
    const letGo = await holdTicks();
    const before = sent().length;
    await execute(`select pg_notify('executor_due', '0'), pg_sleep(1.2)`);
    expect(sent().slice(before)).not.toContain(TICK);
    await letGo();
  }
  await expectTicks(sent, 4);
  expect(ticker.logged).toMatchObject([{ msg: 'the tick is slow' }]);
});

test('a step that fails is said once, and the others go on', async () => {
  await execute('alter function executor.repair(integer) rename to repair_away');
  onTestFinished(() =>
    execute('alter function executor.repair_away(integer) rename to repair').then(() => {}),
  );
  const sent = recordStatements();
  await using ticker = await startTicker(database());
  await expectTicks(sent, 3);
  expect(ticker.logged).toMatchObject([
    { msg: 'a step of the tick failed', notice: expect.stringContaining('repair failed') },
  ]);
});

test('a tick that fails is said once, and tried again', async () => {
  await using _agent = await runAgent(database());
  const signature = '(timestamptz, timestamptz)';
  await execute(`alter procedure executor.tick${signature} rename to tick_away`);
  const sent = recordStatements();
  await using ticker = await startTicker(database());
  await defer(500);
  await expectTicks(sent, 3);
  expect(ticker.logged).toMatchObject([{ msg: 'the tick failed', err: { code: '42883' } }]);
  await execute(`alter procedure executor.tick_away${signature} rename to tick`);
  await expectStatus(database(), 'COMPLETED', 1);
  expect(ticker.logged).toHaveLength(1);
});

test('trouble is said when it begins, and when it has been over for a while', () => {
  const { log, logged } = recordingLog();
  const complaints = new Complaints(log, 20);
  complaints.about('the tick failed', { err: 1 });
  complaints.settle();
  complaints.about('the tick failed', { err: 2 });
  expect(logged).toMatchObject([{ level: 50, msg: 'the tick failed', err: 1 }]);
  const now = performance.now();
  vi.spyOn(performance, 'now').mockReturnValue(now + 21);
  complaints.settle();
  complaints.settle();
  expect(logged.slice(1)).toMatchObject([{ level: 30, msg: 'no longer: the tick failed' }]);
});

test('a lost connection is replaced, and what was due meanwhile starts then', async () => {
  await using _agent = await runAgent(database());
  await using ticker = await startTicker(database());
  await defer(300);
  await execute(END_TICKERS);
  await expectStatus(database(), 'COMPLETED', 1);
  expect(ticker.logged).toMatchObject([
    { msg: 'lost the listening connection' },
    { msg: 'listening again' },
  ]);
  await defer(300);
  await expectStatus(database(), 'COMPLETED', 2);
});

test('while the database lets nobody in nothing is sent, and ticks go on afterwards', async () => {
  const name = new URL(database().url).pathname.slice(1);
  const maintenance = new Client(inject('postgresUrl'));
  await maintenance.connect();
  await using ticker = await startTicker(database());
  await maintenance.query(`alter database ${name} allow_connections false`);
  await execute(END_TICKERS);
  const sent = recordStatements();
  await vi.waitFor(() => expect(ticker.logged).toHaveLength(1));
  // Long enough for ticks to have been tried.
  await maintenance.query('select pg_sleep(2.5)');
  expect(sent()).toEqual(['select pg_sleep(2.5)']);
  expect(ticker.logged).toMatchObject([{ msg: 'lost the listening connection' }]);
  await maintenance.query(`alter database ${name} allow_connections true`);
  await maintenance.end();
  await expectTicks(sent, 2);
  expect(ticker.logged[1]).toMatchObject({ msg: 'listening again' });
});

test('once closed, nothing is sent; a tick that hangs is not waited for', async () => {
  const { ticker } = createTicker(database().url);
  const sent = recordStatements();
  await ticker.open();
  await expectTicks(sent, 1);
  const letGo = await holdTicks();
  const startedAtMs = performance.now();
  await ticker.close();
  expect(performance.now() - startedAtMs).toBeLessThan(2_000);
  await letGo();
  const before = sent().length;
  await execute(`select pg_notify('executor_due', '0'), pg_sleep(1.2)`);
  expect(sent().slice(before)).not.toContain(TICK);
});
