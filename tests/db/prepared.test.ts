import { expect, test } from 'vitest';
import { submitCommands } from '../../db/commands.ts';
import { connect, type Database } from '../../db/connect.ts';
import { queryPrepared } from '../../db/prepared.ts';
import { useDatabase } from '../support/database.ts';
import { startPooler } from '../support/pooler.ts';

const database = useDatabase();

test('statements that are sent all the time are prepared', async () => {
  await using direct = open(database().url);
  expect(await namesAfterSubmitting(direct)).toEqual(['submit']);
});

test('behind a pooler nothing is prepared, which another connection would not know', async () => {
  await using pooler = await startPooler(database().url);
  await using pooled = open(pooler.url);
  expect(await namesAfterSubmitting(pooled)).toEqual([]);
});

test('a pooler that goes, and one that comes in between, are noticed', async () => {
  await using pooler = await startPooler(database().url);
  await using pooled = open(pooler.url);
  pooler.become('proxy');
  expect(await namesAfterSubmitting(pooled)).toEqual(['submit']);
  pooler.become('pooler');
  await expect(pooled.pool.query('select 1')).rejects.toThrow('terminated');
  expect(await namesAfterSubmitting(pooled)).toEqual([]);
});

test('an answer that has other columns since a migration costs a connection, no more', async () => {
  await using direct = open(database().url);
  const { pool } = direct;
  const ask = () => queryPrepared(pool, 'once', 'select * from public.once()', []);
  await pool.query('create function once(out a int) language sql as $$ select 1 $$');
  expect(await ask()).toEqual([{ a: 1 }]);
  await pool.query('drop function once');
  await pool.query('create function once(out a int, out b int) language sql as $$ select 1, 2 $$');
  await expect(ask()).rejects.toMatchObject({ code: '0A000' });
  expect(await ask()).toEqual([{ a: 1, b: 2 }]);
});

async function namesAfterSubmitting({ pool }: Database): Promise<string[]> {
  for (let i = 0; i < 2; i += 1) await submitCommands(pool, []);
  const { rows } = await pool.query<{ name: string }>('select name from pg_prepared_statements');
  return rows.map(({ name }) => name);
}

function open(url: string): Database & AsyncDisposable {
  const opened = connect(url, { applicationName: 'prepared', max: 1 });
  return { ...opened, [Symbol.asyncDispose]: () => opened.close() };
}
