// How much statements read: pages and index entries, which no noisy machine changes. And the scenario in
// which a planner is at its worst: tables that were drained and analysed, and then filled.

import type { Pool } from 'pg';
import { expect } from 'vitest';

const TABLES = [
  'executor.commands',
  'executor.attempts',
  'executor.progress',
  'executor.command_logs',
  'executor.idempotency_keys',
  'executor.contended_keys',
  'executor_queue.job_common',
];

/** Has statistics taken now, and never again. */
export async function freezeStatistics(pool: Pool): Promise<void> {
  for (const table of TABLES) {
    await pool.query(`alter table ${table} set (autovacuum_enabled = false)`);
    await pool.query(`vacuum analyze ${table}`);
  }
}

/** What lists are read by. To look a command up, or to find one that is ready, takes none of them. */
const OF_LISTS = ['created_at', 'status', 'type', 'queue', 'agent', 'batch', 'tags'].map(
  (what) => `commands_${what}_idx`,
);

/**
 * How many pages and index entries the statements of `run` read, over any of these pools, whose
 * connections are idle by then. No index that lists have may be among them: a walk along one of these
 * reads the backlog, if only its pages.
 */
export async function countReads(pools: Pool[], run: () => Promise<unknown>): Promise<number> {
  const before = await counters(pools);
  await run();
  const after = await counters(pools);
  const walked = Object.keys(after.scans).filter(
    (name) => after.scans[name] !== before.scans[name],
  );
  expect(walked, 'indexes of lists').toEqual([]);
  return after.total - before.total;
}

async function counters(pools: Pool[]) {
  // The counters of a session are flushed at most once a second unless forced.
  for (const pool of pools) {
    if (pool.totalCount > 1) throw new Error('more than one connection has counters');
    await pool.query('select pg_stat_force_next_flush()');
  }
  const { rows } = await pools[0]!.query<{ total: number; scans: Record<string, number> }>(
    `select
      (
        select sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)
        from pg_statio_all_tables where schemaname in ('executor', 'executor_queue')
      )::int + (
        select sum(idx_tup_read)
        from pg_stat_all_indexes where schemaname in ('executor', 'executor_queue')
      )::int as total,
      (
        select jsonb_object_agg(indexrelname, idx_scan)
        from pg_stat_all_indexes where indexrelname = any ($1)
      ) as scans`,
    [OF_LISTS],
  );
  const [row] = rows;
  if (!row) throw new Error('no counters');
  return row;
}
