// Connections: one small pool a purpose, and Kysely on top of it for reads.

import { Kysely, PostgresDialect } from 'kysely';
import { Pool } from 'pg';
import type { Logger } from '../runtime/log.ts';
import { clientConfig } from './client-config.ts';
import { noteWhetherDirect } from './prepared.ts';
import type { DB } from './schema.ts';

export interface Database {
  readonly pool: Pool;
  readonly kysely: Kysely<DB>;
  close(): Promise<void>;
}

export interface ConnectOptions {
  /** What `pg_stat_activity` shows, such as `agent-executor server`. */
  applicationName: string;
  /** The most connections this pool opens; each is opened when first needed. */
  max: number;
  /** Whether an unused connection is closed after a while; the default keeps it. */
  idleTimeoutMs?: number;
  log?: Logger;
}

/** No statement of a server or agent takes this long: a silent connection is a dead one. */
const QUERY_TIMEOUT_MS = 30_000;

/** Makes a pool. Nothing is connected until the first query. */
export function connect(url: string, options: ConnectOptions): Database {
  const pool = new Pool({
    ...clientConfig(url, options.applicationName),
    max: options.max,
    idleTimeoutMillis: options.idleTimeoutMs ?? 0,
    query_timeout: QUERY_TIMEOUT_MS,
    // Its types do not know that the pool waits for it.
    // oxlint-disable-next-line typescript/no-misused-promises
    onConnect: noteWhetherDirect,
  });
  pool.on('error', (error) => options.log?.debug({ err: error }, 'an idle connection was lost'));
  // One that breaks in use says so twice: to its query, and as an event, which ends the process when nobody
  // listens. The pool only listens to idle ones and to those of its own queries; Kysely does not.
  pool.on('connect', (client) => client.on('error', () => {}));
  const kysely = new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
  // Not kysely.destroy(): it leaves a pool open that it has not used yet.
  return { pool, kysely, close: () => pool.end() };
}

/** Names a database in messages: never with its password. */
export function describeDatabase(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `${hostname}:${port || '5432'}${pathname}`;
}
