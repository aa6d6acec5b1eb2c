import { beforeEach, expect, test, vi } from 'vitest';
import { findBloatedTables, vacuum } from '../../db/vacuum.ts';
import { useDatabase } from '../support/database.ts';

const database = useDatabase();

const TABLE = 'executor.spoiled';

/** Rows that are gone, but that a transaction's snapshot still holds: autovacuum cannot remove them first. */
async function spoil(rows: number) {
  const { pool } = database();
  await pool.query(`insert into ${TABLE} select generate_series(1, $1)`, [rows]);
  const holder = await pool.connect();
  await holder.query(`begin isolation level repeatable read; select from ${TABLE}`);
  const client = await pool.connect();
  await client.query(`delete from ${TABLE}`);
  await client.query('select pg_stat_force_next_flush()');
  client.release();
  return {
    [Symbol.asyncDispose]: async () => {
      await holder.query('rollback');
      holder.release();
    },
  };
}

beforeEach(async () => {
  const { pool } = database();
  await pool.query(`drop table if exists ${TABLE}; create table ${TABLE} (n integer)`);
});

test('a table with many dead rows is found, and is none after vacuum', async () => {
  const { pool } = database();
  expect(await findBloatedTables(pool)).toEqual([]);
  {
    await using _held = await spoil(60_000);
    expect(await findBloatedTables(pool)).toEqual([TABLE]);
    await vacuum(pool, TABLE);
    expect(await findBloatedTables(pool)).toEqual([TABLE]);
  }
  // Left out while autovacuum is at it.
  await vi.waitFor(async () => {
    await vacuum(pool, TABLE);
    expect(await findBloatedTables(pool)).toEqual([]);
  });
});

test('a few dead rows are autovacuum’s, and so are those beside many that live', async () => {
  const { pool } = database();
  await using _few = await spoil(49_000);
  expect(await findBloatedTables(pool)).toEqual([]);
  await using _many = await spoil(21_000);
  expect(await findBloatedTables(pool)).toEqual([TABLE]);
  await pool.query(`insert into ${TABLE} select generate_series(1, 60000)`);
  await pool.query('select pg_stat_force_next_flush()');
  expect(await findBloatedTables(pool)).toEqual([]);
});

test.each(['false', 'off', 'no'])('autovacuum_enabled = %s keeps a table', async (value) => {
  const { pool } = database();
  await using _held = await spoil(60_000);
  await pool.query(`alter table ${TABLE} set (autovacuum_enabled = ${value})`);
  expect(await findBloatedTables(pool)).toEqual([]);
});

test('a table of somebody else is left alone', async () => {
  const { pool } = database();
  await using _held = await spoil(60_000);
  const client = await pool.connect();
  await client.query('set role pg_monitor');
  const found = await findBloatedTables(client);
  await client.query('reset role');
  client.release();
  expect(found).toEqual([]);
});

test('a vacuum waits for no lock', async () => {
  const { pool } = database();
  const client = await pool.connect();
  await client.query(`begin; lock table ${TABLE} in share update exclusive mode`);
  await expect(vacuum(pool, TABLE)).resolves.toBeUndefined();
  await client.query('rollback');
  client.release();
});
