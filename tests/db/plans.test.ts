// Statistics must not matter. The scenario that once cost seconds a claim: the queue is drained and
// analysed, then a burst arrives, and nothing has analysed since. What is asserted is the number of
// pages that a statement touches, which no noisy machine changes.

import { beforeAll, expect, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { startSession, submit, type Session } from '../support/session.ts';

const database = useDatabase();

const BACKLOG = 20_000;
const BATCH = 64;

/** Far above what walking the indexes takes for a batch, far below what reading the backlog takes. */
const MOST_PAGES = BATCH * 60;

let session: Session;

beforeAll(async () => {
  const { pool } = database();
  session = await startSession(database());
  await submit(database(), 500);
  await session.complete(await session.claim(500));
  await pool.query('vacuum analyze executor.commands');
  await pool.query('vacuum analyze executor_queue.job_common');
  for (const table of ['executor.commands', 'executor_queue.job_common'])
    await pool.query(`alter table ${table} set (autovacuum_enabled = false)`);
  for (let sent = 0; sent < BACKLOG; sent += 1_000) await submit(database(), 1_000);
  return async () => {
    await session[Symbol.asyncDispose]();
  };
});

/** How many pages the whole server has touched while `run` ran. */
async function pages(run: () => Promise<unknown>): Promise<number> {
  const before = await touched();
  await run();
  return (await touched()) - before;
}

async function touched(): Promise<number> {
  // The counters of this session are flushed at most once a second unless forced.
  for (const pool of [database().pool, session.claims.pool])
    await pool.query('select pg_stat_force_next_flush()');
  const { rows } = await database().pool.query<{ pages: string }>(`
    select sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit, 0) + coalesce(idx_blks_read, 0))
      as pages
    from pg_statio_all_tables
    where schemaname in ('executor', 'executor_queue')`);
  return Number(rows[0]?.pages);
}

test('claiming, finishing, releasing and beating read what they need, not the backlog', async () => {
  expect(MOST_PAGES).toBeLessThan(BACKLOG / 4);
  for (let round = 1; round <= 3; round += 1) {
    let claimed = await session.claim(0 + BATCH, round);
    expect(
      await pages(async () => void (claimed = await session.claim(BATCH, round))),
    ).toBeLessThan(MOST_PAGES);
    expect(claimed).toHaveLength(BATCH);
    expect(await pages(() => session.beat(claimed, 0))).toBeLessThan(MOST_PAGES);
    expect(await pages(() => session.complete(claimed.slice(0, 32)))).toBeLessThan(MOST_PAGES);
    expect(await pages(() => session.release(claimed.slice(32)))).toBeLessThan(MOST_PAGES);
  }
});
