// The ledger that the backlog bench fills by the million is one that submit() could have made.

import { Client } from 'pg';
import { expect, test } from 'vitest';
import { fillLedger } from '../../bench/backlog/ours.ts';
import { useDatabase } from '../support/database.ts';
import { startSession } from '../support/session.ts';

const database = useDatabase();

test('what waits can be claimed in order of priority, and nothing disagrees', async () => {
  const client = new Client(database().url);
  await client.connect();
  await fillLedger(client, 500, 100);
  await client.end();

  const { rows } = await database().pool.query(
    'select status, count(*)::integer as n from executor.commands group by status order by status',
  );
  expect(rows).toEqual([
    { status: 'SCHEDULED', n: 100 },
    { status: 'PENDING', n: 500 },
  ]);
  expect(
    (await database().pool.query('select * from executor.ledger_queue_mismatch')).rows,
  ).toEqual([]);

  await using session = await startSession(database());
  const claimed = await session.claim(110);
  const priorities = await database().pool.query<{ priority: number; n: number }>(
    `select priority, count(*)::integer as n
     from executor.commands
     where id = any ($1)
     group by priority
     order by priority desc`,
    [claimed.map(({ id }) => id)],
  );
  expect(priorities.rows).toEqual([
    { priority: 2, n: 100 },
    { priority: 1, n: 10 },
  ]);
  expect(await session.complete(claimed)).toEqual(claimed.map(() => 'accepted'));
});
