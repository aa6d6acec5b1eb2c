// How soon a running command is CANCELLED: from the request to the ledger's knowing that its executor has
// stopped, by the database's clock. One server, one agent with other work beside it.

import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { connect } from '../db/connect.ts';
import { submit } from '../tests/support/session.ts';
import type { Context } from './context.ts';
import { durationsOf, OURS, type Measurement } from './measurement.ts';
import { startProcess } from './processes.ts';

const COMMANDS = { full: 200, quick: 40 };

/** Longer than the bench: what ends before was cancelled. */
const COMMAND_MS = 600_000;
const PATIENCE_MS = 30_000;

export async function cancel(context: Context): Promise<Measurement[]> {
  await using bench = await context.migrated();
  const database = connect(bench.url, { applicationName: 'bench', max: 1 });
  const commands = context.quick ? COMMANDS.quick : COMMANDS.full;
  await using _server = await startProcess('server', bench.url);
  await using _agent = await startProcess('agent', bench.url, { CONCURRENCY: String(commands) });
  const ids = await submit(database, commands, { ms: COMMAND_MS });
  await until(database.pool, `status = 'RUNNING'`, commands);
  for (const id of ids) {
    await database.pool.query('select executor.cancel_command($1)', [id]);
    await pause(20 + 40 * Math.random());
  }
  await until(database.pool, `status = 'CANCELLED'`, commands);
  const { rows } = await database.pool.query<{ took: number }>(
    `select extract(epoch from finished_at - cancel_requested_at)::float8 * 1000 as took
     from executor.commands`,
  );
  await database.close();
  const durations = rows.map(({ took }) => took);
  return durationsOf('cancel, from the request to CANCELLED', OURS, [durations]);
}

async function until(pool: pg.Pool, condition: string, count: number): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (performance.now() < deadline) {
    const { rows } = await pool.query<{ n: number }>(
      `select count(*)::integer as n from executor.commands where ${condition}`,
    );
    if (rows[0]?.n === count) return;
    await pause(50);
  }
  throw new Error(`not all commands were ${condition} in time`);
}
