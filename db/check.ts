// Whether a process of this version can work with a database: asked before anything else.

import type pg from 'pg';
import type { Database } from './connect.ts';
import { readMigrations } from './definitions.ts';
import { StartupError } from './errors.ts';

const OLDEST_MAJOR = 15;

/**
 * Checks that the database answers and that its schema is the one this code knows.
 *
 * @throws StartupError with one clear line.
 */
export async function checkDatabase(database: Database): Promise<void> {
  const client = await reach(() => database.pool.connect());
  try {
    await checkVersion(client);
    const newest = readMigrations().at(-1)?.id ?? 0;
    const applied = await appliedMigration(client);
    refuseNewer(applied, newest);
    if (applied < newest)
      throw new StartupError('The database is not migrated: run `npm run migrate` first.');
  } finally {
    client.release();
  }
}

/** @throws StartupError, in the words of an operator, when `connect` fails. */
export async function reach<T>(connect: () => Promise<T>): Promise<T> {
  try {
    return await connect();
  } catch (cause) {
    const reason = cause instanceof AggregateError ? cause.errors.map(String).join(', ') : cause;
    const words = String(reason instanceof Error ? reason.message : reason);
    throw new StartupError(`Cannot reach the database: ${words}`, { cause });
  }
}

/** @throws StartupError when the server is too old. */
export async function checkVersion(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ version: string; number: number }>(
    `select current_setting('server_version') as version,
            current_setting('server_version_num')::int as number`,
  );
  const [server] = rows;
  if (!server || server.number < OLDEST_MAJOR * 10_000)
    throw new StartupError(
      `PostgreSQL ${OLDEST_MAJOR} or newer is needed; this is ${server?.version}.`,
    );
}

/** The number of the newest migration that the database has; 0 when it has none. */
export async function appliedMigration(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ there: boolean }>(
    `select to_regclass('executor.migrations') is not null as there`,
  );
  if (!rows[0]?.there) return 0;
  const newest = await client.query<{ id: number | null }>(
    'select max(id) as id from executor.migrations',
  );
  return newest.rows[0]?.id ?? 0;
}

/** @throws StartupError when a newer version of this project has migrated the database. */
export function refuseNewer(applied: number, newest: number): void {
  if (applied > newest)
    throw new StartupError(
      `The database is newer than this code (migration ${applied}, known up to ${newest}): update it.`,
    );
}
