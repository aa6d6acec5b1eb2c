// Lists: what narrows them, and that pages stay whole while commands arrive.

import { beforeAll, describe, expect, test } from 'vitest';
import { matches } from '../../db/command-filter.ts';
import { type Command, COMMAND_STATUSES } from '../../db/command-json.ts';
import { listCommands } from '../../db/command-list.ts';
import { parseEventsQuery } from '../../server/list-query.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { submit, useServer } from '../support/server.ts';

const database = useDatabase();
const server = useServer(database);

async function list(query: string): Promise<{ commands: Command[]; next: string | undefined }> {
  const response = await fetch(new URL(`/commands${query}`, server().url));
  expect(response.status).toBe(200);
  const link = /^<(\?[^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '');
  return { commands: (await response.json()) as Command[], next: link?.[1] };
}

/** All pages, from the first. */
async function walk(query: string): Promise<string[]> {
  const ids: string[] = [];
  let next: string | undefined = query;
  while (next !== undefined) {
    const page: Awaited<ReturnType<typeof list>> = await list(next);
    ids.push(...page.commands.map(({ id }) => id));
    next = page.next;
  }
  return ids;
}

const BATCH = '00000000-0000-4000-8000-00000000000a';
const RETRIED = '00000000-0000-4000-8000-00000000000b';

// A ledger of every kind of row, in each status; several were created at the same microsecond. Rows are
// written as they are: the tickets follow from them.
async function fillLedger(): Promise<void> {
  await emptyLedger(database());
  await database().pool.query(`select executor.create_queue('side')`);
  const columns = `id, type, queue, lane, status, payload, error, failures, attempt, agent_id, session,
    claim_no, timeout, run_at, created_at, updated_at, started_at, deadline_at, finished_at, concurrency_key,
    batch_id, retry_of, tags`;
  await database().pool.query(`
    insert into executor.commands (${columns})
    select
      executor.uuid_v7(),
      lanes.type,
      lanes.queue,
      lanes.name,
      status,
      '{"ms": 1}',
      case when status = 'FAILED' then '{"code": "x"}'::jsonb end,
      (status = 'FAILED')::int,
      owned::int,
      case when owned then 'agent-' || n % 2 end,
      case when owned then gen_random_uuid() end,
      case when owned then n end,
      '1 minute',
      case when status = 'SCHEDULED' then now() + interval '1 day' end,
      timestamptz '2026-01-01' + (n / 4) * interval '1.000001 seconds',
      now(),
      case when owned then now() end,
      case when owned then now() + interval '1 day' end,
      case when status in ('COMPLETED', 'FAILED', 'CANCELLED') then now() end,
      case when status = 'BLOCKED' or n = 2 then 'key' end,
      case when n % 9 = 0 then '${BATCH}'::uuid end,
      case when n % 11 = 0 then '${RETRIED}'::uuid end,
      case when n % 5 = 0 then array['a', 'b'] when n % 5 = 1 then array['b'] else '{}' end
    from (
      select
        n,
        (enum_range(null::executor.command_status))[1 + n % 7] as status,
        n % 7 >= 3 as owned
      from generate_series(0, 139) as n
    ) as numbers
    join executor.lanes
      on lanes.type = case when n % 3 = 0 then 'HTTP_GET_JSON' else 'DELAY' end
      and lanes.queue = case when n % 13 = 0 then 'side' else 'default' end
      and lanes.agent_id = ''`);
  await database().pool.query(
    `select executor.write_tickets(array_agg(id)) from executor.commands
     where status in ('PENDING', 'RUNNING')`,
  );
}

const FROM = '2026-01-01T00:00:10Z';
const TO = '2026-01-01T00:00:20.00002+00:00';

const queries: string[] = [
  '',
  ...COMMAND_STATUSES.map((status) => `status=${status}`),
  'status=RUNNING,FAILED',
  'status=RUNNING&status=FAILED&status=PENDING,BLOCKED',
  `status=${COMMAND_STATUSES.join(',')}`,
  'type=DELAY',
  'type=NOPE',
  'queue=default',
  'queue=side',
  'queue=nope',
  'agentId=agent-0',
  'agentId=nope',
  'tag=a',
  'tag=b',
  'tag=nope',
  `batchId=${BATCH}`,
  `batchId=${RETRIED}`,
  `retryOf=${RETRIED.toUpperCase()}`,
  `createdAfter=${FROM}`,
  `createdBefore=${encodeURIComponent(TO)}`,
  `createdAfter=${FROM}&createdBefore=${encodeURIComponent(TO)}`,
  `createdAfter=${encodeURIComponent(TO)}&createdBefore=${FROM}`,
  'createdAfter=2026-01-01T00:00:05.000005Z&createdBefore=2026-01-01T00:00:05.000006Z',
  'createdAfter=2026-01-01T00:00:05.0000059Z&createdBefore=2026-01-01T00:00:05.0000069Z',
  'createdAfter=2026-01-01T05:30:10%2B05:30&status=FAILED,RUNNING',
  'status=FAILED,RUNNING&type=DELAY',
  'status=PENDING,COMPLETED&agentId=agent-1',
  'status=PENDING&agentId=agent-1',
  'status=COMPLETED&type=HTTP_GET_JSON&agentId=agent-1&queue=default',
  'type=DELAY&agentId=agent-0',
  'queue=side&type=DELAY',
  'queue=side&status=RUNNING,PENDING',
  'queue=side&agentId=agent-1',
  'tag=b&status=RUNNING,FAILED',
  `batchId=${BATCH}&status=RUNNING`,
  `retryOf=${RETRIED}&type=DELAY&tag=b`,
  `type=DELAY&createdAfter=${FROM}&createdBefore=${encodeURIComponent(TO)}`,
];

describe('narrowed', () => {
  beforeAll(fillLedger);

  test.each(queries)('lists and events agree on what matches: %s', async (query) => {
    const { commands: all } = await listCommands(database().kysely, { filter: {}, limit: 1_000 });
    expect(all).toHaveLength(140);
    const expected = all.filter((command) => matches(parseEventsQuery(query).filter, command));
    const ids = expected.map(({ command }) => command.id);
    expect(await walk(`?limit=9&${query}`)).toEqual(ids);
    expect(await walk(`?limit=9&sort=createdAt&${query}`)).toEqual(ids.toReversed());
    expect(await walk(`?limit=200&sort=-createdAt&${query}`)).toEqual(ids);
  });

  test('the cases of the table are not empty, but for those that should be', async () => {
    const { commands: all } = await listCommands(database().kysely, { filter: {}, limit: 1_000 });
    const empty = queries.filter(
      (query) => !all.some((one) => matches(parseEventsQuery(query).filter, one)),
    );
    expect(empty).toEqual([
      'type=NOPE',
      'queue=nope',
      'agentId=nope',
      'tag=nope',
      `batchId=${RETRIED}`,
      `createdAfter=${encodeURIComponent(TO)}&createdBefore=${FROM}`,
      'status=PENDING&agentId=agent-1',
    ]);
  });

  test('the link to the next page keeps every parameter', async () => {
    const parameters = {
      status: 'COMPLETED,FAILED',
      type: 'DELAY',
      queue: 'default',
      agentId: 'agent-1',
      tag: 'b',
      createdAfter: '2026-01-01T00:00:00.000000Z',
      createdBefore: '2027-01-01T00:00:00.000000Z',
      sort: 'createdAt',
      limit: '1',
    };
    const { next } = await list(`?${new URLSearchParams(parameters).toString()}`);
    const { cursor, ...kept } = Object.fromEntries(new URLSearchParams(next));
    expect(kept).toEqual(parameters);
    expect(cursor).toMatch(/^[\w-]+$/);
  });
});

test.each([
  ['status=PENDING,', 'status'],
  ['status=PENDING&status=DONE', 'status'],
  ['type=A&type=B', 'type'],
  ['queue=', 'queue'],
  ['tag=%00', 'tag'],
  ['batchId=1', 'batchId'],
  ['retryOf=%00', 'retryOf'],
  ['createdAfter=', 'createdAfter'],
  ['createdAfter=yesterday', 'createdAfter'],
  ['createdAfter=2026-01-01', 'createdAfter'],
  ['createdAfter=2026-01-01T00:00:00', 'createdAfter'],
  ['createdAfter=2026-02-30T00:00:00Z', 'createdAfter'],
  ['createdAfter=2026-01-01T24:00:00Z', 'createdAfter'],
  ['createdAfter=2026-01-01T00:00:00+01:00', 'createdAfter'],
  ['createdBefore=2026-01-01T00:00:00%2B15:00', 'createdBefore'],
  ['createdBefore=0000-01-01T00:00:00Z', 'createdBefore'],
  ['createdBefore=infinity', 'createdBefore'],
  ['sort=id', 'sort'],
  ['sort=createdAt&sort=-createdAt', 'sort'],
])('%s is refused', async (query, name) => {
  const problem = await expectProblem(await fetch(`${server().url}/commands?${query}`), 400);
  expect(problem.errors).toEqual([{ pointer: `#/query/${name}`, detail: expect.any(String) }]);
});

describe.each(['', '&status=PENDING', '&type=DELAY', '&status=PENDING&type=DELAY&queue=default'])(
  'while commands arrive, with %s',
  (filter) => {
    test('no page repeats or misses one', async () => {
      await emptyLedger(database());
      const before: string[] = [];
      for (let ms = 0; ms < 40; ms += 1) before.push(await submit(server().url, 'DELAY', { ms }));
      const walked: string[] = [];
      let next: string | undefined = `?limit=7${filter}`;
      while (next !== undefined) {
        const page: Awaited<ReturnType<typeof list>> = await list(next);
        walked.push(...page.commands.map(({ id }) => id));
        await Promise.all([1, 2, 3].map((ms) => submit(server().url, 'DELAY', { ms })));
        next = page.next;
      }
      expect(walked).toEqual(before.toReversed());
    });
  },
);
