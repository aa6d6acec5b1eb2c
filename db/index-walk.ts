// One walk along one index, written so that the planner, whose statistics may be old or missing, has no
// other way.
//
// A plain equality (status = 'FAILED') would let it walk all commands by creation time instead, and drop a
// million others. Written as = any (array['FAILED']) it still bounds a walk along the index that begins
// with status, but the planner does not take status for constant any more. So the order may begin with
// it, and no other index gives that order:
//
//   where status = any (array['FAILED']) and (created_at, id) < (…)
//   order by status desc, created_at desc, id desc
//
// What is left is to read all FAILED ones and sort them, which looks quick to who believes that they are
// few: alongIndexes() forbids it.

import { sql, type Kysely, type RawBuilder } from 'kysely';
import type { CommandFilter } from './command-filter.ts';
import type { PagePosition } from './command-json.ts';
import type { DB } from './schema.ts';

export type Order = 'oldestFirst' | 'newestFirst';

export interface Walk {
  /** The index's first column before created_at and id, the value to hold it at, and its type. */
  lead?: readonly [column: string, value: string, type: string];
  /** What the index is restricted to. */
  where: RawBuilder<boolean>[];
}

/** The part of the list that a page is made from. */
export interface Stretch {
  filter: Pick<CommandFilter, 'createdAfter' | 'createdBefore'>;
  order?: Order;
  limit: number;
  after?: PagePosition;
  /** What to read of each: the whole row unless said. */
  columns?: RawBuilder<unknown>;
}

/** Runs statements that walk: nothing is sorted but what no index has in order. */
export async function alongIndexes<T>(
  db: Kysely<DB>,
  run: (db: Kysely<DB>) => Promise<T>,
): Promise<T> {
  return await db.connection().execute(async (connection) => {
    await sql`begin read only; set local enable_sort = off`.execute(connection);
    try {
      const result = await run(connection);
      await sql`commit`.execute(connection);
      return result;
    } catch (error) {
      await sql`rollback`.execute(connection).catch(() => {});
      throw error;
    }
  });
}

/** The next `limit` commands along an index that meet the other conditions too. */
export function walk(
  stretch: Stretch,
  { lead, where }: Walk,
  others: RawBuilder<boolean>[],
): RawBuilder<unknown> {
  const conditions = [...(lead ? [held(lead)] : []), ...where, ...bounds(stretch), ...others];
  const way = stretch.order === 'oldestFirst' ? sql`` : sql` desc`;
  const first = lead ? sql`${sql.ref(lead[0])}${way}, ` : sql``;
  return sql`(
    select ${stretch.columns ?? sql`*`}
    from executor.commands
    ${allOf(conditions)}
    order by ${first}${inOrder(stretch.order)}
    limit ${sql.lit(stretch.limit)}
  )`;
}

/**
 * The next `limit` of the commands that run. All of them are read, and sorted: `offset 0` keeps the
 * planner from walking all commands for it, and a span of sessions that it cannot see makes the index of
 * those that run look short.
 */
export function walkRunning(stretch: Stretch, others: RawBuilder<boolean>[]): RawBuilder<unknown> {
  const running = sql`
    select * from executor.commands
    where status = 'RUNNING'
      and session between (select ${FIRST_ID}::uuid) and (select ${LAST_ID}::uuid)
    offset 0`;
  return sorted(stretch, running, others);
}

/** The next `limit` of the commands that have a tag. All of them are read, and sorted. */
export function walkTagged(
  stretch: Stretch,
  tag: string | undefined,
  others: RawBuilder<boolean>[],
): RawBuilder<unknown> {
  const tagged = sql`
    select * from executor.commands where tags <> '{}' and tags @> array[${tag}]::text[] offset 0`;
  return sorted(stretch, tagged, others);
}

/** What every list is ordered by. */
export function inOrder(order: Order = 'newestFirst'): RawBuilder<unknown> {
  return order === 'oldestFirst' ? sql`created_at, id` : sql`created_at desc, id desc`;
}

function sorted(
  stretch: Stretch,
  rows: RawBuilder<unknown>,
  others: RawBuilder<boolean>[],
): RawBuilder<unknown> {
  const conditions = [...bounds(stretch), ...others];
  return sql`(
    select ${stretch.columns ?? sql`*`}
    from (${rows}) as found
    ${allOf(conditions)}
    order by ${inOrder(stretch.order)}
    limit ${sql.lit(stretch.limit)}
  )`;
}

function allOf(conditions: RawBuilder<boolean>[]): RawBuilder<unknown> {
  return conditions.length > 0 ? sql`where ${sql.join(conditions, sql` and `)}` : sql``;
}

function held([column, value, type]: readonly [string, string, string]): RawBuilder<boolean> {
  return sql`${sql.ref(column)} = any (array[${value}::${sql.raw(type)}])`;
}

const FIRST_ID = '00000000-0000-0000-0000-000000000000';
const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/** One comparison for each end: of two for one end Postgres might start at the farther. */
function bounds({ filter, order, after }: Stretch): RawBuilder<boolean>[] {
  const { createdAfter: from = '', createdBefore: before = '~' } = filter;
  const isOldestFirst = order === 'oldestFirst';
  const goesOn = after && (isOldestFirst ? after.createdAt >= from : after.createdAt < before);
  const conditions: RawBuilder<boolean>[] = [];
  if (goesOn) {
    const beyond = isOldestFirst ? sql`>` : sql`<`;
    const place = sql`(${after.createdAt}::timestamptz, ${after.id}::uuid)`;
    conditions.push(sql`(created_at, id) ${beyond} ${place}`);
  }
  if (filter.createdAfter && !(goesOn && isOldestFirst))
    conditions.push(sql`created_at >= ${from}::timestamptz`);
  if (filter.createdBefore && !(goesOn && !isOldestFirst))
    conditions.push(sql`created_at < ${before}::timestamptz`);
  return conditions;
}
