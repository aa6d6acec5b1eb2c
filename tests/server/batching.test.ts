// Submissions that arrive together share a transaction, and nothing else.

import { expect, test, vi } from 'vitest';
import { connect } from '../../db/connect.ts';
import { type Accepted, Submissions } from '../../server/submissions.ts';
import { useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { post, submit, useServer } from '../support/server.ts';

const database = useDatabase();
const server = useServer(database);

async function count(what: string, ids: string[]): Promise<number> {
  const { rows } = await database().pool.query(
    `select count(${what})::int as n from executor.commands where id = any ($1)`,
    [ids],
  );
  return rows[0].n;
}

/** Transactions that wait for a lock. */
async function countWaiting(): Promise<number> {
  const { rowCount } = await database().pool.query(
    `select from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return rowCount ?? 0;
}

const ids = (accepted: Accepted[]) => accepted.map(({ id }) => id);

test('what arrives while a transaction is in flight shares the next', async () => {
  const { pool } = database();
  const holder = await pool.connect();
  await holder.query('begin; lock table executor.commands');
  const submitting = Array.from({ length: 100 }, (_, ms) => submit(server().url, 'DELAY', { ms }));
  // There may be another beside it by now.
  await vi.waitFor(async () => expect(await countWaiting()).toBeGreaterThan(0));
  // Sent after the others, so answered when they have arrived.
  expect((await fetch(`${server().url}/health`)).status).toBe(200);
  await holder.query('commit');
  holder.release();

  const submitted = await Promise.all(submitting);
  expect(await count('*', submitted)).toBe(100);
  expect(await count('distinct xmin::text', submitted)).toBeLessThan(10);
});

test('when many wait a second transaction begins, and no third one', async () => {
  const submissions = new Submissions(database().pool);
  const add = (count: number) =>
    Array.from({ length: count }, () => submissions.add({ type: 'DELAY', payload: {} }, 100));
  const holder = await database().pool.connect();
  await holder.query('begin; lock table executor.commands');
  const submitting = add(1);
  await vi.waitFor(async () => expect(await countWaiting()).toBe(1));
  submitting.push(...add(30));
  await vi.waitFor(async () => expect(await countWaiting()).toBe(2));
  submitting.push(...add(30));
  await new Promise(setImmediate);
  submitting.push(...add(30));
  await holder.query('commit');
  holder.release();
  const submitted = ids(await Promise.all(submitting));
  expect(await count('distinct xmin::text', submitted)).toBe(3);
});

test('large commands go by fours, small ones by hundreds', async () => {
  const submissions = new Submissions(database().pool);
  const add = (bytes: number) => submissions.add({ type: 'DELAY', payload: { ms: 1 } }, bytes);
  const small = await Promise.all(Array.from({ length: 200 }, () => add(100)));
  expect(await count('distinct xmin::text', ids(small))).toBe(1);
  const large = await Promise.all(Array.from({ length: 12 }, () => add(100_000)));
  expect(await count('distinct xmin::text', ids(large))).toBe(3);
});

test('those with a key and those without share no transaction', async () => {
  const submissions = new Submissions(database().pool);
  const add = (options: object) =>
    submissions.add({ type: 'DELAY', payload: { ms: 1 }, ...options }, 100);
  const accepted = await Promise.all(
    Array.from({ length: 40 }, (_, i) => add(i % 2 ? { idempotencyKey: `apart ${i}` } : {})),
  );
  expect(await count('distinct xmin::text', ids(accepted))).toBe(2);
});

test('the second of two with one key is answered with the first, in one transaction', async () => {
  const submissions = new Submissions(database().pool);
  const submission = { type: 'DELAY', payload: { ms: 1 }, idempotencyKey: 'twice' };
  const [first, second, third] = await Promise.all([
    submissions.add(submission, 100),
    submissions.add(submission, 100),
    submissions.add({ ...submission, idempotencyKey: 'once' }, 100),
  ]);
  expect(first).toMatchObject({ replayed: false });
  expect(second).toEqual({ id: first.id, replayed: true });
  expect(third).toMatchObject({ replayed: false });
  expect(await count('distinct xmin::text', ids([first, third]))).toBe(1);
});

test('one whose key stands for another command fails alone, and nothing is submitted twice', async () => {
  const submissions = new Submissions(database().pool);
  const add = (idempotencyKey: string, ms: number) =>
    submissions.add({ type: 'DELAY', payload: { ms }, idempotencyKey }, 100);
  const taken = await add('taken', 1);
  const names = Array.from({ length: 30 }, (_, i) => `fine ${i % 15}`);
  const [fine, ...refused] = await Promise.allSettled([
    Promise.all(names.map((name) => add(name, 1))),
    add('taken', 2),
    add('fine 3', 2),
    add('taken', 1),
  ]);
  const accepted = fine.status === 'fulfilled' ? fine.value : [];
  expect(accepted.map(({ replayed }) => replayed)).toEqual(names.map((_, i) => i >= 15));
  expect(new Set(ids(accepted)).size).toBe(15);
  expect(refused).toMatchObject([
    { reason: { code: 'idempotency_key_reused', value: 'taken' } },
    { reason: { code: 'idempotency_key_reused', value: 'fine 3' } },
    { value: { id: taken.id, replayed: true } },
  ]);
  const { rows } = await database().pool.query(
    `select count(*)::int as n from executor.commands where idempotency_key like any ('{taken,fine%}')`,
  );
  expect(rows).toEqual([{ n: 16 }]);
});

test('one that the database refuses fails alone', async () => {
  const { pool } = database();
  await pool.query(
    `insert into executor.command_types
       (type, description, payload_schema, result_schema, default_timeout)
     values ('GONE', 'For a moment.', '{"required": ["x"]}', '{}', '1 min')`,
  );
  await expectProblem(await post(server().url, { type: 'GONE', payload: {} }), 400);
  await pool.query(`delete from executor.command_types where type = 'GONE'`);

  const answers = await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      if (i % 20 !== 7) return post(server().url, { type: 'DELAY', payload: { ms: i } });
      const gone = await post(server().url, { type: 'GONE', payload: { x: 1 } });
      const problem = await expectProblem(gone, 400);
      expect(problem).toMatchObject({ code: 'unknown_type', errors: [{ pointer: '#/type' }] });
      return gone;
    }),
  );
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(57);
});

test('a connection that breaks under a batch costs no client its answer', async () => {
  const { pool, url } = database();
  const [{ datname }] = (await pool.query('select current_database() as datname')).rows;
  const killer = connect(url, { applicationName: 'killer', max: 1 });
  await killer.pool.query('select 1');
  const submitting = Array.from({ length: 50 }, (_, ms) => submit(server().url, 'DELAY', { ms }));
  await killer.pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = $1 and pid <> pg_backend_pid()`,
    [datname],
  );
  const submitted = await Promise.all(submitting);
  expect(await count('*', submitted)).toBe(50);
  await killer.close();
});
