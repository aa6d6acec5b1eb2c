// Vacuum as soon as it is worth while. Autovacuum would do the same, but looks at a database once a minute
// (autovacuum_naptime): at 14,000 commands a second, a million claimed tickets, which each claim passes over
// in their index, and two million outgrown rows of the ledger, which then never gets small again.

import { z } from 'zod';
import type { Queryable } from './agents.ts';

/**
 * Tables of ours with so many dead rows that vacuum pays, quoted. Not those that somebody keeps autovacuum
 * from, nor those too large for a vacuum of a few seconds, which may keep a migration waiting: autovacuum
 * gives way. Nor those whose owner we are not.
 */
export async function findBloatedTables(database: Queryable): Promise<string[]> {
  const { rows } = await database.query(BLOATED_TABLES, []);
  return z
    .array(z.object({ name: z.string() }))
    .parse(rows)
    .map(({ name }) => name);
}

/** @param table quoted. One that somebody vacuums or locks is left out. */
export async function vacuum(database: Queryable, table: string): Promise<void> {
  // To shorten a table takes a lock that everybody else waits for.
  await database.query(`vacuum (skip_locked, truncate off, parallel 0) ${table}`, []);
}

const BLOATED_TABLES = `
  select pg_catalog.format('%I.%I', n.nspname, c.relname) as name
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ('executor', 'executor_queue')
    and c.relkind = 'r'
    and pg_catalog.pg_stat_get_dead_tuples(c.oid)
      > 50000 + pg_catalog.pg_stat_get_live_tuples(c.oid) / 2
    and pg_catalog.pg_total_relation_size(c.oid) < 1000000000
    and not exists (
      select
      from pg_catalog.pg_options_to_table(c.reloptions)
      where option_name = 'autovacuum_enabled' and not option_value::boolean
    )
    and pg_catalog.pg_has_role(c.relowner, 'usage')`;
