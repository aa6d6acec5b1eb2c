import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { commandTypes } from '../../agent/executors/registry.ts';
import { checkDatabase } from '../../db/check.ts';
import { connect } from '../../db/connect.ts';
import { readDefinitions, readMigrations } from '../../db/definitions.ts';
import { BOOKS, migrate } from '../../db/migrate.ts';
import { installQueue } from '../../db/queue.ts';
import { createDatabase } from '../support/database.ts';

const types = commandTypes();

/** What databases out there have had applied: a correction is a migration of its own. */
const SHIPPED = [
  [1, '6a8dd013bd82'],
  [2, 'be9ce7e9c9a7'],
  [3, '9ad6889a9541'],
  [4, 'f4a2543128a2'],
  [5, '0e0606b1fc38'],
  [6, '8643b178950c'],
  [7, '5bc8956b87a7'],
  [8, 'd1ae84dfafad'],
  [9, '7f701d4d7292'],
];

async function emptyDatabase() {
  const { url, drop } = await createDatabase();
  const database = connect(url, { applicationName: 'test', max: 1 });
  onTestFinished(async () => {
    await database.close();
    await drop();
  });
  return { ...database, url };
}

test('five processes that start at once on an empty database all succeed', async () => {
  const database = await emptyDatabase();
  const env = { ...process.env, DATABASE_URL: database.url };
  const processes = Array.from({ length: 5 }, () =>
    promisify(execFile)(process.execPath, ['migrate.ts'], { env }),
  );
  await Promise.all(processes);
  await checkDatabase(database);
  const lanes = await database.pool.query(
    `select l.queue, l.type from executor.lanes l join executor_queue.queue q on q.name = l.name
     order by 2`,
  );
  expect(lanes.rows).toEqual([
    { queue: 'default', type: 'DELAY' },
    { queue: 'default', type: 'HTTP_GET_JSON' },
    { queue: 'default', type: 'HTTP_REQUEST' },
  ]);
  const published = await database.pool.query('select type from executor.command_types order by 1');
  expect(published.rows).toEqual([
    { type: 'DELAY' },
    { type: 'HTTP_GET_JSON' },
    { type: 'HTTP_REQUEST' },
  ]);
});

test('migrating again changes nothing', async () => {
  const database = await emptyDatabase();
  await migrate(database.url, { types });
  const stamp = () =>
    database.pool.query(`
      select name, applied_at from executor.migrations
      union all select name, applied_at from executor.definitions
      union all select type, updated_at from executor.command_types order by 1`);
  const before = await stamp();
  await migrate(database.url, { types });
  expect((await stamp()).rows).toEqual(before.rows);
});

test('a function that changed is applied again', async () => {
  const database = await emptyDatabase();
  await migrate(database.url, { types });
  await database.pool.query(
    `update executor.definitions set checksum = 'old' where name ~ 'submit'`,
  );
  await database.pool.query('drop function executor.submit');
  await migrate(database.url, { types });
  await database.pool.query(`select executor.submit_command('DELAY', '{"ms": 0}')`);
  const { rows } = await database.pool.query('select name from executor.definitions order by 1');
  expect(rows.map(({ name }) => name as string)).toEqual(
    readDefinitions()
      .map(({ name }) => name)
      .toSorted(),
  );
});

test('what waits and what runs in a database from before there were lanes is taken along', async () => {
  const database = await emptyDatabase();
  const client = await database.pool.connect();
  await installQueue(client);
  await client.query(BOOKS);
  for (const { id, name, checksum, text } of readMigrations().filter((one) => one.id <= 3)) {
    await client.query(text);
    await client.query('insert into executor.migrations (id, name, checksum) values ($1, $2, $3)', [
      id,
      name,
      checksum,
    ]);
  }
  await client.query(`
    insert into executor.command_types values ('DELAY', 'Waits.', '{}', '{}', '1 min');
    insert into executor.commands (id, type, status, payload, timeout, created_at, updated_at)
    select gen_random_uuid(), 'DELAY', 'PENDING', '{"ms": 0}', '1 min', now(), now()
    from generate_series(1, 2);
    insert into executor_queue.job (id, name) select id, queue from executor.commands;
    with one as (update executor_queue.job set state = 'active'
      where id = (select id from executor.commands limit 1) returning id)
    update executor.commands set status = 'RUNNING', attempt = 1, agent_id = 'a',
      session = gen_random_uuid(), claim_no = 1, started_at = now(), deadline_at = now()
    where id = (select id from one)`);
  client.release();
  await migrate(database.url, { types });
  const { rows } = await database.pool.query(`
    select c.status, t.state::text as ticket
    from executor.commands c left join executor_queue.job t on t.id = c.id and t.name = c.lane
    order by 1`);
  expect(rows).toEqual([
    { status: 'PENDING', ticket: 'created' },
    { status: 'RUNNING', ticket: null },
  ]);
});

test('a database that is newer than the code is refused and left alone', async () => {
  const database = await emptyDatabase();
  await migrate(database.url, { types });
  await database.pool.query(
    `insert into executor.migrations (id, name, checksum) values (9999, 'future', '')`,
  );
  await expect(migrate(database.url, { types })).rejects.toThrow(/newer than this code/);
  await expect(checkDatabase(database)).rejects.toThrow(/newer than this code/);
});

test('a migration stays as it was shipped', () => {
  const checksums = readMigrations().map(({ id, checksum }) => [id, checksum.slice(0, 12)]);
  expect(checksums).toEqual(SHIPPED);
});

test.each([
  ['as they were', 5, '0e0606b1fc3883d1620d925202b2149185fc2709286e64df7e2bd7c6ea8ec55b'],
  [
    'before 0005 was corrected',
    5,
    '7193f45b173d9123d47748b36ab4d7cf745aa1865fb5af158a61a313d7a9f437',
  ],
  ['after 0007 was', 7, '93b67e2984eec955da343b17f13a23462e585360ac53d2e36c5a92d32579103a'],
])('a database that had its migrations %s comes to the same', async (_, id, checksum) => {
  const database = await emptyDatabase();
  const { pool } = database;
  await migrate(database.url, { types });
  await pool.query('update executor.migrations set checksum = $2 where id = $1', [id, checksum]);
  await pool.query(`
    delete from executor.migrations where id = 8;
    alter table executor.commands reset (autovacuum_vacuum_cost_limit);
    create view executor.present_watchers as select id from executor.watchers;
    insert into executor.definitions values ('views/present_watchers.sql', 'old')`);
  await migrate(database.url, { types });
  const { rows } = await pool.query(`
    select
      to_regclass('executor.present_watchers') as view,
      (select count(*)::int from executor.definitions where name ~ 'present_watchers') as noted,
      (select reloptions from pg_class where oid = 'executor.commands'::regclass) as options`);
  expect(rows).toEqual([
    {
      view: null,
      noted: 0,
      options: expect.arrayContaining(['autovacuum_vacuum_cost_limit=2000']),
    },
  ]);
});

test('a migration that was changed after it was applied is refused', async () => {
  const database = await emptyDatabase();
  await migrate(database.url, { types });
  await database.pool.query(`update executor.migrations set checksum = 'other' where id = 1`);
  await expect(migrate(database.url, { types })).rejects.toThrow(/0001_ledger.sql was changed/);
});

test('a database that is not migrated is refused by whoever needs it', async () => {
  const database = await emptyDatabase();
  await expect(checkDatabase(database)).rejects.toThrow(/npm run migrate/);
});

test('every table, column, view, function, type and schema of ours has a comment', async () => {
  const database = await emptyDatabase();
  await migrate(database.url, { types });
  const { rows } = await database.pool.query(`
    select 'relation ' || relname as uncommented
    from pg_class
    where relnamespace = 'executor'::regnamespace and relkind in ('r', 'v')
      and obj_description(oid, 'pg_class') is null
    union all
    select 'column ' || relname || '.' || attname
    from pg_class
    join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
    where relnamespace = 'executor'::regnamespace and relkind = 'r'
      and col_description(pg_class.oid, attnum) is null
    union all
    select 'function ' || proname
    from pg_proc
    where pronamespace = 'executor'::regnamespace and obj_description(oid, 'pg_proc') is null
    union all
    select 'type ' || typname
    from pg_type
    where typnamespace = 'executor'::regnamespace and typtype = 'e'
      and obj_description(oid, 'pg_type') is null
    union all
    select 'schema' where obj_description('executor'::regnamespace, 'pg_namespace') is null`);
  expect(rows).toEqual([]);
});

test('every function of ours pins its search_path, or its names', async () => {
  const database = await emptyDatabase();
  await migrate(database.url, { types });
  // A procedure that commits cannot have settings of its own: it names its schemas instead.
  const { rows } = await database.pool.query(`
    select proname from pg_proc
    where pronamespace = 'executor'::regnamespace and prokind = 'f' and prosqlbody is null
      and not coalesce(proconfig, '{}') @> '{"search_path=pg_catalog, pg_temp"}'`);
  expect(rows).toEqual([]);
});
