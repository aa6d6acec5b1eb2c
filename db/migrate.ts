// Brings a database to what this code needs. Any number of processes may do so at once: one does the
// work under an advisory lock, the others wait and find it done.
//
// Migrations are forward-only and immutable once shipped. Functions and views are re-applied when
// their file changed; a file whose function changes its signature drops the old one itself.

import { Client } from 'pg';
import type { Logger } from '../runtime/log.ts';
import { appliedMigration, checkVersion, reach, refuseNewer } from './check.ts';
import type { CommandTypeDefinition } from './command-types.ts';
import { clientConfig } from './client-config.ts';
import { readDefinitions, readMigrations, type Migration, type SqlFile } from './definitions.ts';
import { StartupError } from './errors.ts';
import { installQueue } from './queue.ts';

/** The advisory lock of migrations: 'agentexe' in ASCII. */
const LOCK_KEY = '7018969161888561253';

export interface MigrateOptions {
  /** The contracts to publish. */
  types: CommandTypeDefinition[];
  log?: Logger;
}

/**
 * Migrates a database; does nothing where nothing changed. Needs a direct connection, or a pooler in
 * session mode: the lock belongs to the session.
 *
 * @throws StartupError when the database is away, too old, or newer than this code.
 */
export async function migrate(databaseUrl: string, options: MigrateOptions): Promise<void> {
  const client = new Client(clientConfig(databaseUrl, 'agent-executor migrate'));
  client.on('error', (error) => options.log?.debug({ err: error }, 'connection lost'));
  await reach(() => client.connect());
  try {
    await checkVersion(client);
    await client.query('select pg_advisory_lock($1)', [LOCK_KEY]);
    await bringUpToDate(client, options);
  } finally {
    await client.end();
  }
}

async function bringUpToDate(client: Client, options: MigrateOptions): Promise<void> {
  const migrations = readMigrations();
  refuseNewer(await appliedMigration(client), migrations.at(-1)?.id ?? 0);
  const fetchTickets = await installQueue(client);
  await client.query('begin');
  try {
    // A function may call one that is only created after it.
    await client.query('set local check_function_bodies = off');
    await client.query(BOOKS);
    await client.query(fetchTickets);
    await applyMigrations(client, migrations, options.log);
    await applyDefinitions(client, options.log);
    await client.query('select executor.publish_types($1, p_built_in => true)', [
      JSON.stringify(options.types),
    ]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

/** Where migrations and definitions are noted down. */
export const BOOKS = `
  set local client_min_messages = warning;
  create schema if not exists executor;
  comment on schema executor is
    'agent-executor: the ledger of commands, and every function and view on it.';
  create table if not exists executor.migrations (
    id integer not null,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now(),
    constraint migrations_pkey primary key (id)
  );
  comment on table executor.migrations is 'The migrations that this database has.';
  create table if not exists executor.definitions (
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now(),
    constraint definitions_pkey primary key (name)
  );
  comment on table executor.definitions is 'The files of functions and views, as last applied.';
`;

/**
 * Checksums of other texts that databases may have had applied, by migration: with the same outcome, but for what
 * a later one makes up for (0008 for 0007).
 */
const ALSO_APPLIED = new Map([
  [5, '7193f45b173d9123d47748b36ab4d7cf745aa1865fb5af158a61a313d7a9f437'],
  [7, '93b67e2984eec955da343b17f13a23462e585360ac53d2e36c5a92d32579103a'],
]);

async function applyMigrations(client: Client, migrations: Migration[], log?: Logger) {
  const { rows } = await client.query<{ id: number; checksum: string }>(
    'select id, checksum from executor.migrations',
  );
  const applied = new Map(rows.map((row) => [row.id, row.checksum]));
  for (const { id, name, text, checksum } of migrations) {
    const before = applied.get(id);
    if (before !== undefined) {
      if (before === checksum || before === ALSO_APPLIED.get(id)) continue;
      throw new StartupError(`sql/${name} was changed after this database had it applied.`);
    }
    await client.query(text);
    await client.query('insert into executor.migrations (id, name, checksum) values ($1, $2, $3)', [
      id,
      name,
      checksum,
    ]);
    log?.info({ migration: name }, 'migrated');
  }
}

async function applyDefinitions(client: Client, log?: Logger) {
  const { rows } = await client.query<{ name: string; checksum: string }>(
    'select name, checksum from executor.definitions',
  );
  const applied = new Map(rows.map((row) => [row.name, row.checksum]));
  let changed = readDefinitions().filter(({ name, checksum }) => applied.get(name) !== checksum);
  while (changed.length > 0) {
    const early = changed.filter((file) => !changed.some((other) => isMadeFrom(file, other)));
    // In a circle: Postgres says what is wrong with it.
    const next = early.length > 0 ? early : changed;
    for (const file of next) {
      await applyDefinition(client, file);
      log?.debug(file.name);
    }
    changed = changed.filter((file) => !next.includes(file));
  }
}

/** Whether a view is made from another one, which has to come first. Functions may name what is yet to come. */
function isMadeFrom(file: SqlFile, other: SqlFile): boolean {
  const [, view] = /^views\/(\w+)\.sql$/.exec(other.name) ?? [];
  if (file === other || view === undefined || !file.name.startsWith('views/')) return false;
  return new RegExp(`\\bexecutor\\.${view}\\b`).test(file.text);
}

async function applyDefinition(client: Client, file: SqlFile): Promise<void> {
  await client.query(file.text);
  await client.query(
    `insert into executor.definitions (name, checksum) values ($1, $2)
     on conflict (name) do update set checksum = excluded.checksum, applied_at = now()`,
    [file.name, file.checksum],
  );
}
