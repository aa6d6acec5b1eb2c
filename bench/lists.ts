// GET /commands with a million commands in the ledger: the first page and page 1,000, however rare what is
// asked for, before and after the planner has seen the ledger.

import { Client } from 'pg';
import { encodeCursor } from '../server/cursor.ts';
import type { Context } from './context.ts';
import { timed } from './timed.ts';
import { durationsOf, OURS, type Measurement } from './measurement.ts';
import { startProcess } from './processes.ts';

const COMMANDS = { full: 1_000_000, quick: 100_000 };
const REQUESTS = 200;
const PAGE = 50;

/** What is not made to be fast is not asked for so often. */
const MOST_MS = 5_000;
const FEWEST = 6;

/** What is asked for, and the same in SQL where there is a page 1,000. */
const FILTERS: [query: string, where?: string][] = [
  ['', 'true'],
  ['status=FAILED'],
  ['status=COMPLETED', `status = 'COMPLETED'`],
  ['status=RUNNING'],
  ['status=PENDING'],
  ['status=PENDING,RUNNING,FAILED,COMPLETED', `status <> 'CANCELLED'`],
  ['type=RARE'],
  ['type=DELAY', `type = 'DELAY'`],
  ['agentId=old'],
  ['agentId=agent-1', `agent_id = 'agent-1'`],
  ['status=COMPLETED&agentId=old'],
  ['status=COMPLETED&type=DELAY', `status = 'COMPLETED' and type = 'DELAY'`],
  ['tag=hourly'],
  ['queue=none'],
];

export async function lists(context: Context): Promise<Measurement[]> {
  await using database = await context.migrated();
  // Filling takes longer than a pool's statements may.
  const client = new Client(database.url);
  await client.connect();
  await fill(client, context.quick ? COMMANDS.quick : COMMANDS.full);
  await using server = await startProcess('server', database.url);
  const measurements = await measure(client, server.ready, 'never analysed');
  await client.query('vacuum analyze executor.commands');
  measurements.push(...(await measure(client, server.ready, 'analysed')));
  await client.end();
  return measurements;
}

async function measure(client: Client, server: string, state: string): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  const add = async (page: string, query: string, cursor = '') => {
    const durations = await requests(`${server}/commands?limit=${PAGE}&${query}${cursor}`);
    const what = `GET /commands?${query}, ${page}, ${state}`;
    measurements.push(...durationsOf(what, OURS, [durations], ['p99']));
  };
  for (const [query, where] of FILTERS) {
    await add('first page', query);
    const cursor = where === undefined ? undefined : await cursorAfter(client, where, 999);
    if (cursor !== undefined) await add('page 1,000', query, `&cursor=${cursor}`);
  }
  return measurements;
}

async function requests(address: string): Promise<number[]> {
  const durations: number[] = [];
  const until = performance.now() + MOST_MS;
  while (durations.length < REQUESTS && (durations.length < FEWEST || performance.now() < until))
    durations.push(await timed(async () => (await fetch(address)).text()));
  // The first one may open connections.
  return durations.slice(1);
}

/** Undefined: there are not so many. */
async function cursorAfter(
  client: Client,
  where: string,
  pages: number,
): Promise<string | undefined> {
  const { rows } = await client.query<{ createdAt: string; id: string }>(
    `select id, to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "createdAt"
     from executor.commands
     where ${where}
     order by created_at desc, id desc
     offset ${pages * PAGE - 1}
     limit 1`,
  );
  return rows[0] && encodeCursor(rows[0]);
}

// The oldest wait, some run, five have failed, the others are done.
async function fill(client: Client, commands: number): Promise<void> {
  await client.query(`
    alter table executor.commands set (autovacuum_enabled = false);
    insert into executor.commands (
      id, type, lane, status, payload, result, error, attempt, agent_id, session, claim_no, timeout,
      created_at, updated_at, started_at, deadline_at, finished_at, tags
    )
    select
      executor.uuid_v7(),
      numbered.type,
      lanes.name,
      status,
      jsonb_build_object('ms', n, 'note', repeat('x', 60)),
      case when status = 'COMPLETED' then jsonb_build_object('ok', true, 'tookMs', n) end,
      case when status = 'FAILED' then '{"code": "executor_error"}'::jsonb end,
      (status <> 'PENDING')::int,
      case when status = 'PENDING' then null when n < 4 then 'old' else 'agent-' || n % 10 end,
      case when status <> 'PENDING' then gen_random_uuid() end,
      n,
      '1 minute',
      created_at,
      created_at,
      case when status <> 'PENDING' then created_at end,
      case when status = 'RUNNING' then now() + interval '1 day' end,
      case when status not in ('PENDING', 'RUNNING') then created_at end,
      case when n % 100 = 0 then array['hourly'] else '{}' end
    from (
      select
        n,
        now() - interval '1 day' + n * interval '1 day' / ${commands + 1} as created_at,
        case when n % ${commands / 4} = 7 then 'RARE' when n % 3 = 0 then 'HTTP_GET_JSON' else 'DELAY' end
          as type,
        case
          when n between 10 and 300 then 'PENDING'
          when n % ${commands / 5} = 11 then 'FAILED'
          when n % ${commands / 40} = 13 then 'RUNNING'
          else 'COMPLETED'
        end::executor.command_status as status
      from generate_series(1, ${commands}) as n
    ) as numbered
    -- What has ended may be of a type that is no more, and needs no lane.
    left join executor.lanes
      on lanes.type = numbered.type and lanes.queue = 'default' and lanes.agent_id = '';
    select executor.write_tickets(array_agg(id)) from executor.commands
    where status in ('PENDING', 'RUNNING');`);
}
