// What people do to commands that are there: cancel and retry, by the functions that psql calls too.

import { sql, type Kysely } from 'kysely';
import type pg from 'pg';
import { EXACT_TIME, type PagePosition } from './command-json.ts';
import { type PageQuery, pickPage } from './command-walks.ts';
import { isUnstorable, translate } from './errors.ts';
import { alongIndexes, inOrder } from './index-walk.ts';
import type { DB } from './schema.ts';

/** What became of a request to cancel; see sql/functions/cancel_commands.sql. */
export const CANCEL_ANSWERS = ['cancelled', 'requested', 'done', 'unknown'] as const;
export type CancelAnswer = (typeof CANCEL_ANSWERS)[number];

/** The same for retries; see sql/functions/retry_commands.sql. Refused: it can't be submitted any more. */
export const RETRY_ANSWERS = [
  'retried',
  'not_failed',
  'retried_before',
  'refused',
  'unknown',
] as const;
export type RetryAnswer = (typeof RETRY_ANSWERS)[number];

/** Cancels at most 1,000 commands in one transaction; answers in order. */
export async function cancelCommands(pool: pg.Pool, ids: string[]): Promise<CancelAnswer[]> {
  const { rows } = await pool.query<{ answer: CancelAnswer }>(
    'select answer from executor.cancel_commands($1)',
    [ids],
  );
  return rows.map(({ answer }) => answer);
}

/** Which of these are CANCELLED. */
export async function findCancelled(pool: pg.Pool, ids: string[]): Promise<Set<string>> {
  const { rows } = await pool.query<{ id: string }>(
    `select id from executor.commands where id = any ($1) and status = 'CANCELLED'`,
    [ids],
  );
  return new Set(rows.map(({ id }) => id));
}

export interface Retry {
  id: string;
  /** The new command's, drawn by the caller: doing it again with the same is harmless. */
  newId: string;
}

export interface Retried {
  answer: RetryAnswer;
  /** Of the new command, or of the earlier one that repeats it. */
  newId?: string;
  /** Why it was refused. */
  error?: Error;
}

/**
 * Retries at most 1,000 commands in one transaction; answers in order. One that is refused fails alone:
 * the batch is then repeated by halves. `once` leaves out what was retried before.
 */
export async function retryCommands(
  pool: pg.Pool,
  batch: Retry[],
  { once }: { once: boolean },
): Promise<Retried[]> {
  try {
    const { rows } = await pool.query<{ answer: RetryAnswer; new_id: string | null }>(
      'select answer, new_id from executor.retry_commands($1, $2, $3)',
      [batch.map(({ id }) => id), once, batch.map(({ newId }) => newId)],
    );
    return rows.map(({ answer, new_id: newId }) => ({ answer, ...(newId && { newId }) }));
  } catch (error) {
    if (!isUnstorable(error)) throw error;
    if (batch.length === 1) return [{ answer: 'refused', error: translate(error) as Error }];
    const half = Math.ceil(batch.length / 2);
    return [
      ...(await retryCommands(pool, batch.slice(0, half), { once })),
      ...(await retryCommands(pool, batch.slice(half), { once })),
    ];
  }
}

export interface Picked {
  ids: string[];
  /** Where the next page starts, if there may be one. */
  next?: PagePosition;
}

/** One page of those that match, as the list has them. */
export async function pickCommands(db: Kysely<DB>, query: PageQuery): Promise<Picked> {
  const { rows } = await alongIndexes(db, async (connection) => {
    const page = await pickPage(connection, query);
    return await sql<PagePosition>`
      select id, ${EXACT_TIME} as "createdAt"
      from (${page}) as page
      order by ${inOrder(query.order)}`.execute(connection);
  });
  const last = rows.at(-1);
  return {
    ids: rows.map(({ id }) => id),
    ...(last && rows.length >= query.limit && { next: last }),
  };
}
