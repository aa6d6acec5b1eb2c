// Queues as clients see them, and what people do to them, by the functions that psql calls too.
//
// What waits is counted along an index, up to 100,000 of a kind; sorted, all that waits would be read.

import { sql, type InferResult, type Kysely, type NotNull } from 'kysely';
import type pg from 'pg';
import { ask } from './ask.ts';
import { alongIndexes } from './index-walk.ts';
import type { DB } from './schema.ts';

/** Times are ISO 8601; what is not there is null. */
export interface QueueStatus {
  name: string;
  /** Nothing of it is claimed while it is. */
  paused: boolean;
  pausedAt: string | null;
  /** How many commands are ready: counted up to 100,000 of a type, for each agent they are meant for. */
  depth: number;
  running: number;
  /** How many of those that are ready no living agent can run. */
  unclaimable: number;
  unclaimableOf: Unclaimable[];
  oldestReadyAt: string | null;
  /** By the database's clock. */
  oldestReadyAgeMs: number | null;
  createdAt: string;
}

/** Ready commands of one type, meant for one agent or for any (null), that no living agent can run. */
export interface Unclaimable {
  type: string;
  agentId: string | null;
  depth: number;
}

/** All queues, by name. */
export async function listQueues(db: Kysely<DB>): Promise<QueueStatus[]> {
  const rows = await alongIndexes(db, (connection) =>
    selectQueues(connection).orderBy('name').execute(),
  );
  return rows.map(toQueueStatus);
}

export async function findQueue(db: Kysely<DB>, name: string): Promise<QueueStatus | undefined> {
  const row = await alongIndexes(db, (connection) =>
    selectQueues(connection).where('name', '=', name).executeTakeFirst(),
  );
  return row && toQueueStatus(row);
}

/** Creates a queue; true: it is new. */
export async function createQueue(pool: pg.Pool, name: string): Promise<boolean> {
  return await ask(pool, 'select executor.create_queue($1) as yes', [name]);
}

/** Pauses a queue: what runs goes on, nothing more is claimed. False: there is no such queue. */
export async function pauseQueue(pool: pg.Pool, name: string): Promise<boolean> {
  return await ask(pool, 'select executor.pause_queue($1) as yes', [name]);
}

/** Resumes a paused queue. False: there is no such queue. */
export async function resumeQueue(pool: pg.Pool, name: string): Promise<boolean> {
  return await ask(pool, 'select executor.resume_queue($1) as yes', [name]);
}

/** Columns of a view: Postgres does not tell which of them are never null. */
function selectQueues(db: Kysely<DB>) {
  return db
    .selectFrom('executor.queue_states as q')
    .select(['name', 'paused_at', 'oldest_ready_at', 'created_at'])
    .select((row) => [
      row.cast<number>('depth', 'double precision').as('depth'),
      row.cast<number>('running', 'double precision').as('running'),
      row.cast<number>('unclaimable', 'double precision').as('unclaimable'),
      OLDEST_AGE_MS.as('oldest_age_ms'),
      UNCLAIMABLE.as('unclaimable_of'),
    ])
    .$narrowType<{ name: NotNull; created_at: NotNull }>();
}

const OLDEST_AGE_MS = sql<number | null>`case when oldest_ready_at is not null then
    greatest(0, floor(extract(epoch from clock_timestamp() - oldest_ready_at) * 1000))
  end::double precision`;

const UNCLAIMABLE = sql<Unclaimable[]>`case when unclaimable > 0 then coalesce((
    select jsonb_agg(
      jsonb_build_object('type', l.type, 'agentId', l.agent_id, 'depth', l.depth)
      order by l.type, l.agent_id nulls first
    )
    from executor.lane_states l
    where l.queue = q.name and not l.is_served
  ), '[]') else '[]' end`;

function toQueueStatus(row: InferResult<ReturnType<typeof selectQueues>>[number]): QueueStatus {
  return {
    name: row.name,
    paused: row.paused_at !== null,
    pausedAt: row.paused_at?.toISOString() ?? null,
    depth: row.depth,
    running: row.running,
    unclaimable: row.unclaimable,
    unclaimableOf: row.unclaimable_of,
    oldestReadyAt: row.oldest_ready_at?.toISOString() ?? null,
    oldestReadyAgeMs: row.oldest_age_ms,
    createdAt: row.created_at.toISOString(),
  };
}
