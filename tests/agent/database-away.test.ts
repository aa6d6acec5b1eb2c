// The database goes away while agents work, and comes back: it costs nothing but time.

import { Client } from 'pg';
import { expect, inject, test } from 'vitest';
import { expectStatus, runAgent } from '../support/agent.ts';
import { useDatabase, type TestDatabase } from '../support/database.ts';
import { submit } from '../support/session.ts';

const database = useDatabase();

/** Ends every connection to the database and lets no new one in, as long as `meanwhile` takes. */
async function away(from: TestDatabase, meanwhile: () => Promise<void>): Promise<void> {
  const name = new URL(from.url).pathname.slice(1);
  const client = new Client(inject('postgresUrl'));
  await client.connect();
  try {
    await client.query(`alter database ${name} allow_connections false`);
    await client.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1',
      [name],
    );
    await meanwhile();
  } finally {
    await client.query(`alter database ${name} allow_connections true`);
    await client.end();
  }
}

test('what finished meanwhile is reported, what was submitted later is executed, nothing runs twice', async () => {
  const gate = Promise.withResolvers<void>();
  const executed: string[] = [];
  await using _agent = await runAgent(database(), async (_payload, { commandId }) => {
    executed.push(commandId);
    await gate.promise;
    return {};
  });
  const first = await submit(database(), 5);
  await expectStatus(database(), 'RUNNING', 5);
  await away(database(), async () => {
    gate.resolve();
    await expect(database().pool.query('select 1')).rejects.toThrow(
      /not currently accepting|terminat/,
    );
  });
  const second = await submit(database(), 5);
  await expectStatus(database(), 'COMPLETED', 10, 20_000);
  expect(executed.toSorted()).toEqual([...first, ...second].toSorted());
});
