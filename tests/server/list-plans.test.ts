// What a page of a list may read, whatever the planner believes of the ledger. No noisy machine changes that.

import { beforeAll, describe, expect, test } from 'vitest';
import { encodeCursor } from '../../server/cursor.ts';
import { useDatabase } from '../support/database.ts';
import { useServer } from '../support/server.ts';

const database = useDatabase();
const server = useServer(database);

const NONE = '00000000-0000-4000-8000-00000000000a';

const MOST_READ = 700;

/** How many pages of the table and its indexes a request reads. */
async function pagesRead(query: string): Promise<number> {
  const before = await allPagesRead();
  const response = await fetch(`${server().url}/commands${query}`);
  expect(response.status).toBe(200);
  return (await allPagesRead()) - before;
}

async function allPagesRead(): Promise<number> {
  // Each session keeps its counts for a while unless it is told not to.
  const clients = await Promise.all([1, 2, 3, 4, 5].map(() => database().pool.connect()));
  for (const client of clients) await client.query('select pg_stat_force_next_flush()');
  for (const client of clients) client.release();
  const { rows } = await database().pool.query<{ pages: number }>(`
    select (heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::int as pages
    from pg_statio_all_tables
    where relid = 'executor.commands'::regclass`);
  return rows[0]?.pages ?? NaN;
}

/** True of so many of the rows. */
const rare = (count: number) => `n % (20000 / ${count}) = 0`;

const deep = `cursor=${encodeCursor({ createdAt: '2026-01-01T00:10:00.000000Z', id: NONE })}`;

describe('in a ledger of 20,000 that was never analysed', () => {
  beforeAll(async () => {
    await database().pool.query(`
      alter table executor.commands set (autovacuum_enabled = false);
      insert into executor.commands (
        id, type, status, payload, error, failures, attempt, agent_id, session, claim_no, timeout, created_at,
        updated_at, started_at, finished_at, tags, queue
      )
      select
        gen_random_uuid(),
        case when ${rare(4)} then 'HTTP_GET_JSON' else 'DELAY' end,
        case when ${rare(5)} then 'FAILED' else 'COMPLETED' end::executor.command_status,
        jsonb_build_object('ms', n, 'note', repeat('x', 400)),
        case when ${rare(5)} then '{"code": "x"}'::jsonb end,
        (${rare(5)})::int,
        1,
        case when n < 4 then 'old' else 'agent' end,
        gen_random_uuid(), 1, '1 minute',
        timestamptz '2026-01-01' + n * interval '1 second', now(), now(), now(),
        case when ${rare(2)} then array['rare'] else '{}' end,
        case when ${rare(3)} then 'rare' else 'default' end
      from generate_series(1, 20000) as n`);
  });

  test.each([
    '?',
    `?${deep}`,
    `?${deep}&sort=createdAt`,
    '?status=FAILED',
    '?status=COMPLETED',
    `?status=COMPLETED,FAILED,RUNNING&${deep}`,
    '?status=RUNNING',
    '?status=PENDING',
    '?type=HTTP_GET_JSON',
    `?type=DELAY&${deep}`,
    '?type=NOPE',
    '?queue=rare',
    `?queue=default&${deep}`,
    '?queue=default',
    '?queue=nope&sort=createdAt',
    '?queue=rare&status=COMPLETED&type=DELAY',
    '?queue=rare&status=RUNNING',
    '?agentId=old',
    `?agentId=agent&${deep}&sort=createdAt`,
    '?agentId=old&status=COMPLETED',
    '?type=HTTP_GET_JSON&status=COMPLETED&sort=createdAt',
    '?status=FAILED&agentId=agent',
    '?tag=rare',
    `?batchId=${NONE}`,
    `?retryOf=${NONE}`,
    '?status=COMPLETED&createdAfter=2026-01-01T01:00:00Z&createdBefore=2026-01-01T01:00:05Z',
    '?createdAfter=2026-01-01T01:00:00Z&createdBefore=2026-01-01T01:00:05Z&sort=createdAt',
  ])('%s reads little', async (query) => {
    expect(await pagesRead(query)).toBeLessThan(MOST_READ);
  });
});
