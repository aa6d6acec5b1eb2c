// A database of its own for each test file, cloned from the migrated template.

import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, expect, inject } from 'vitest';
import { connect, type Database } from '../../db/connect.ts';
import { TEMPLATE } from './global-setup.ts';

export interface TestDatabase extends Database {
  url: string;
}

/**
 * Gives the test file a migrated database. After every test, the ledger must keep its promises.
 *
 * Call the answer inside tests: the database is there once they run.
 */
export function useDatabase(): () => TestDatabase {
  let database: TestDatabase | undefined;
  let drop: (() => Promise<void>) | undefined;
  beforeAll(async () => {
    const created = await createDatabase(TEMPLATE);
    drop = created.drop;
    const { url } = created;
    database = { ...connect(url, { applicationName: 'test', max: 5 }), url };
  });
  afterEach(async () => {
    // The others hold after healing only, which a test may not wait for.
    const { rows } = await current().pool.query(
      `select * from executor.invariants
       where violations <> 0 and invariant not in ('I11', 'I13', 'C1')`,
    );
    expect(rows).toEqual([]);
  });
  afterAll(async () => {
    await database?.close();
    await drop?.();
  });
  const current = () => {
    if (!database) throw new Error('the database is there once tests run');
    return database;
  };
  return current;
}

/** Forgets every command and agent. */
export async function emptyLedger({ pool }: Database): Promise<void> {
  await pool.query(
    `truncate executor.commands, executor.agents, executor.idempotency_keys, executor.contended_keys,
       executor_queue.job cascade`,
  );
}

/** Creates a database: empty, or a clone of `template`. */
export async function createDatabase(
  template = 'template1',
): Promise<{ url: string; drop: () => Promise<void> }> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await maintain(`create database ${name} template ${template}`);
  const url = new URL(inject('postgresUrl'));
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => maintain(`drop database if exists ${name} with (force)`) };
}

async function maintain(statement: string): Promise<void> {
  const client = new Client(inject('postgresUrl'));
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
