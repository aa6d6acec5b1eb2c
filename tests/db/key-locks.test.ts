// Concurrency keys and the lock table, which all connections share: once it is full, every statement that
// needs a lock fails.

import { beforeEach, expect, test } from 'vitest';
import { tick } from '../../db/recovery.ts';
import { item, openTransaction, submitBatch } from '../support/batches.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { listen } from '../support/listen.ts';
import { startSession } from '../support/session.ts';

const database = useDatabase();

beforeEach(() => emptyLedger(database()));

const pool = () => database().pool;

/** What a connection's share of the lock table is, unless configured otherwise. */
const SHARE = 64;

const batchOf = (count: number, prefix: string) =>
  Array.from({ length: count }, (_, i) => item({ concurrencyKey: `${prefix} ${i}` }));

async function keyLocks(): Promise<number[]> {
  const { rows } = await pool().query<{ count: number }>(
    `select count(*)::int from pg_locks
     where locktype = 'advisory'
       and database = (select oid from pg_database where datname = current_database())
     group by pid`,
  );
  return rows.map(({ count }) => count);
}

async function counts(): Promise<Record<string, number>> {
  const { rows } = await pool().query<{ status: string; count: number }>(
    'select status::text, count(*)::int from executor.commands group by 1 order by 1',
  );
  return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
}

test('a thousand keys in a transaction take no more locks than a connection may', async () => {
  await using first = await openTransaction(pool());
  await using second = await openTransaction(pool());
  await using third = await openTransaction(pool());
  await using due = await listen(database().url, 'executor_due');
  const all = [first, second, third];
  for (const [i, { client }] of all.entries())
    await submitBatch(client, batchOf(1_000, `batch ${i}`));
  expect(await keyLocks()).toEqual([SHARE, SHARE, SHARE]);
  for (const { commit } of all) await commit();
  expect(await counts()).toEqual({ BLOCKED: 3 * (1_000 - SHARE), PENDING: 3 * SHARE });

  await due.count(1);
  const { nextDueAt, answeredAt } = await tick(pool());
  expect(nextDueAt).toEqual(answeredAt);
  await tick(pool());
  expect(await counts()).toEqual({ PENDING: 3_000 });
  expect(await keyLocks()).toEqual([]);
  expect((await tick(pool())).nextDueAt).toBe(null);
});

test('so do many statements in one transaction, each of them, and one after it', async () => {
  await using psql = await openTransaction(pool());
  const submitSome = (from: number) =>
    psql.client.query(
      `select executor.submit_command('DELAY', '{"ms": 0}', jsonb_build_object('concurrencyKey', 'k' || i))
       from generate_series($1::int, $1 + 49) as i`,
      [from],
    );
  await submitSome(1);
  expect(await keyLocks()).toEqual([50]);
  await submitSome(51);
  expect(await keyLocks()).toEqual([SHARE]);
  await psql.client.query('savepoint s');
  await submitSome(101);
  await psql.client.query('rollback to s');
  await psql.client.query('commit; begin');
  await submitSome(201);
  expect(await keyLocks()).toEqual([50]);
  await psql.commit();
  await tick(pool());
  expect(await counts()).toEqual({ PENDING: 150 });
});

test('a batch that finishes many keys hands all of them on, some of them by the next tick', async () => {
  await using session = await startSession(database());
  await submitBatch(pool(), batchOf(200, 'k'));
  await submitBatch(pool(), batchOf(200, 'k'));
  await tick(pool());
  const claimed = await session.claim(1_000);
  expect(claimed).toHaveLength(200);
  await session.complete(claimed);
  expect(await counts()).toEqual({ BLOCKED: 200 - SHARE, COMPLETED: 200, PENDING: SHARE });
  await tick(pool());
  expect(await counts()).toEqual({ COMPLETED: 200, PENDING: 200 });
});

test('keys whose deferred commands are due at once all get going in that tick', async () => {
  await submitBatch(
    pool(),
    batchOf(500, 'k').map((one) => ({ ...one, delayMs: 60_000 })),
  );
  await pool().query('update executor.commands set run_at = created_at');
  await tick(pool());
  expect(await counts()).toEqual({ PENDING: 500 });
});

test('keys that stay locked are looked at once a tick, and hold up no other', async () => {
  await using psql = await openTransaction(pool());
  await submitBatch(psql.client, batchOf(60, 'locked'));
  await submitBatch(pool(), batchOf(60, 'locked'));
  await submitBatch(pool(), batchOf(200, 'free'));
  const { nextDueAt } = await tick(pool());
  expect(nextDueAt).toBe(null);
  expect(await counts()).toEqual({ BLOCKED: 60, PENDING: 200 });
  const { rows } = await pool().query('select from executor.contended_keys');
  expect(rows).toHaveLength(60);
  await psql.rollback();
  await tick(pool());
  expect(await counts()).toEqual({ PENDING: 260 });
});
