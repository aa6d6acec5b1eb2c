// How lists are found: a page costs the same at any depth and in any ledger, however rare what it asks
// for is.
//
// Each walk goes along one index, in the list's order, and stops after a page; the walks' results are
// merged: by creation time there is a walk for each status. What runs is in none of the indexes that lists
// have: it is few, so all of it is read.
//
// What it costs: where only one of status, type, queue, agentId, batchId and retryOf is asked for, and
// creation times, a walk reads one page. Whatever else is asked for is dropped row by row on the way, 1 to
// 2 µs each from memory. Of status, type, queue and agentId together the shortest walk is taken: quick when
// one of them is rare or all of them together are common. `tag` walks by creation time when a page of it
// is among the next 2,000 commands; else all that have the tag are read. The queue `default` has no index:
// alone it walks by creation time, past whatever is in other queues.

import { sql, type Kysely, type RawBuilder } from 'kysely';
import type { CommandFilter } from './command-filter.ts';
import type { CommandStatus } from './command-json.ts';
import type { PagePosition } from './command-json.ts';
import {
  inOrder,
  walk,
  walkRunning,
  walkTagged,
  type Order,
  type Stretch,
  type Walk,
} from './index-walk.ts';
import type { DB } from './schema.ts';
import { DEFAULT_QUEUE } from './work.ts';

export interface PageQuery {
  filter: CommandFilter;
  /** Newest first unless said. */
  order?: Order;
  limit: number;
  /** The position that the page before ended with. */
  after?: PagePosition;
}

/** Walks longer than this are not told apart by their length. */
const LONG = 2_000;

type Walks = (Walk | 'running' | 'tagged')[];

const isListed = sql<boolean>`status <> 'RUNNING'`;

/** What a command may be whose place in lists stays for a while. */
const LISTED: CommandStatus[] = [
  'SCHEDULED',
  'BLOCKED',
  'PENDING',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
];

/** A query of a page's rows, for selectCommands(); to be run within alongIndexes(), as this is. */
export async function pickPage(db: Kysely<DB>, page: PageQuery): Promise<RawBuilder<unknown>> {
  const walks = await chooseWalks(db, page);
  return sql`
    select * from (${union(walks, page)}) as walked
    order by ${inOrder(page.order)}
    limit ${sql.lit(page.limit)}`;
}

async function chooseWalks(db: Kysely<DB>, page: PageQuery): Promise<Walks> {
  const { batchId, retryOf, tag } = page.filter;
  if (retryOf !== undefined)
    return [{ lead: ['retry_of', retryOf, 'uuid'], where: [sql`retry_of is not null`] }];
  if (batchId !== undefined)
    return [{ lead: ['batch_id', batchId, 'uuid'], where: [sql`batch_id is not null`] }];
  if (tag !== undefined) return (await isDense(db, page)) ? byCreation(page.filter) : ['tagged'];
  const choices = choicesFor(page.filter);
  const lengths = choices.length > 1 ? await lengthsOf(db, page, choices) : [0];
  return choices[lengths.indexOf(Math.min(...lengths))] ?? byCreation(page.filter);
}

function choicesFor({ status, type, queue, agentId }: CommandFilter): Walks[] {
  const running = status?.includes('RUNNING') === false ? [] : ['running' as const];
  const choices: Walks[] = [];
  // What waits has no agent.
  if (agentId !== undefined) {
    const isDone = sql<boolean>`finished_at is not null`;
    choices.push([{ lead: ['agent_id', agentId, 'text'], where: [isDone] }, ...running]);
  }
  if (status) choices.push(byCreation({ status }));
  if (type !== undefined)
    choices.push([{ lead: ['type', type, 'text'], where: [isListed] }, ...running]);
  if (queue !== undefined && queue !== DEFAULT_QUEUE) {
    const isNamed = sql<boolean>`queue <> 'default'`;
    choices.push([{ lead: ['queue', queue, 'text'], where: [isListed, isNamed] }, ...running]);
  }
  return choices;
}

/** There is no index by creation time alone: it would cost every change of a command an entry. */
function byCreation({ status: wanted = [...LISTED, 'RUNNING'] }: CommandFilter): Walks {
  const listed = wanted.filter((status) => status !== 'RUNNING');
  const walks: Walks = listed.map((status) => ({
    lead: ['status', status, 'executor.command_status'],
    where: [isListed],
  }));
  return wanted.includes('RUNNING') ? [...walks, 'running'] : walks;
}

/** Reads index entries only, and few. */
async function lengthsOf(db: Kysely<DB>, page: PageQuery, choices: Walks[]): Promise<number[]> {
  const stretch = { filter: spanOf(page.filter), limit: LONG, columns: sql`1` };
  const lengths = choices.map((walks) => {
    const entries = union(walks, { ...page, ...stretch });
    return sql`(select count(*)::int from (select from (${entries}) as w limit ${sql.lit(LONG)}) as e)`;
  });
  const counted = await sql<{ lengths: number[] }>`
    select array[${sql.join(lengths)}] as lengths`.execute(db);
  return counted.rows[0]?.lengths ?? [];
}

/** Whether the next commands by creation time hold a page. */
async function isDense(db: Kysely<DB>, page: PageQuery): Promise<boolean> {
  const next = union(byCreation(page.filter), {
    ...page,
    filter: spanOf(page.filter),
    limit: LONG,
  });
  const counted = await sql<{ found: number }>`
    select count(*)::int as found
    from (
      select * from (${next}) as walked order by ${inOrder(page.order)} limit ${sql.lit(LONG)}
    ) as next
    where ${sql.join(conditions(page.filter), sql` and `)}`.execute(db);
  return (counted.rows[0]?.found ?? 0) >= page.limit;
}

function spanOf({ createdAfter, createdBefore }: CommandFilter): CommandFilter {
  return { ...(createdAfter && { createdAfter }), ...(createdBefore && { createdBefore }) };
}

function union(walks: Walks, page: PageQuery & Stretch): RawBuilder<unknown> {
  const branches = walks.map((one) => {
    if (one === 'running') return walkRunning(page, conditions(page.filter, 'status'));
    if (one === 'tagged') return walkTagged(page, page.filter.tag, conditions(page.filter, 'tags'));
    return walk(page, one, conditions(page.filter, one.lead?.[0]));
  });
  return sql.join(branches, sql` union all `);
}

/** All that is asked for but creation times and what the walk itself sees to. */
function conditions(filter: CommandFilter, except?: string): RawBuilder<boolean>[] {
  const all: [string, unknown, RawBuilder<boolean>][] = [
    ['status', filter.status, sql`status = any (${filter.status}::executor.command_status[])`],
    ['type', filter.type, sql`type = ${filter.type}`],
    ['queue', filter.queue, sql`queue = ${filter.queue}`],
    ['agent_id', filter.agentId, sql`agent_id = ${filter.agentId}`],
    ['tags', filter.tag, sql`tags @> array[${filter.tag}]::text[]`],
    ['batch_id', filter.batchId, sql`batch_id = ${filter.batchId}::uuid`],
    ['retry_of', filter.retryOf, sql`retry_of = ${filter.retryOf}::uuid`],
  ];
  return all
    .filter(([column, wanted]) => wanted !== undefined && column !== except)
    .map(([, , condition]) => opaque(condition));
}

/** To the planner every second row meets it, and no index knows it: no way but the walk's looks short. */
function opaque(condition: RawBuilder<boolean>): RawBuilder<boolean> {
  return sql`coalesce(${condition}, false)`;
}
