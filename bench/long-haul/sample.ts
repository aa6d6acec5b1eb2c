// How large everything is at one moment.

import { readFileSync } from 'node:fs';
import { Client } from 'pg';
import { residentMb } from '../cpu.ts';

/** In MB, and rows. */
export interface Sizes {
  'ledger: table': number;
  'ledger: indexes': number;
  'ledger: dead rows': number;
  'tickets: table': number;
  'tickets: indexes': number;
  'tickets: dead rows': number;
  'memory of the server': number;
  'memory of the agent': number;
  'memory of the largest backend': number;
}

export async function sample(url: string, pids: { server: number; agent: number }): Promise<Sizes> {
  const client = new Client(url);
  await client.connect();
  const { rows } = await client.query<TableSizes>(SIZES, [
    ['executor.commands', 'executor_queue.job_common'],
  ]);
  const backends = await client.query<{ pid: number }>(
    'select pid from pg_stat_activity where datname = current_database()',
  );
  await client.end();
  const [ledger, tickets] = rows;
  if (!ledger || !tickets) throw new Error('there is no ledger');
  return {
    'ledger: table': ledger.heap,
    'ledger: indexes': ledger.indexes,
    'ledger: dead rows': ledger.dead,
    'tickets: table': tickets.heap,
    'tickets: indexes': tickets.indexes,
    'tickets: dead rows': tickets.dead,
    'memory of the server': residentMb(pids.server),
    'memory of the agent': residentMb(pids.agent),
    'memory of the largest backend': Math.max(...backends.rows.map(({ pid }) => privateMb(pid))),
  };
}

interface TableSizes {
  heap: number;
  indexes: number;
  dead: number;
}

const SIZES = `
  select
    pg_table_size(name::regclass) / 1e6::float8 as heap,
    pg_indexes_size(name::regclass) / 1e6::float8 as indexes,
    pg_stat_get_dead_tuples(name::regclass)::float8 as dead
  from unnest($1::text[]) with ordinality as t (name, ordinal)
  order by ordinal`;

/** Without the buffers that all backends share. */
function privateMb(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return (Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024) / 1e6;
  } catch {
    return 0;
  }
}
