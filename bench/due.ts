// How soon after its time a deferred command, and a retry, starts: submitted in SQL, one server, one
// agent, and no other traffic.

import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { connect } from '../db/connect.ts';
import type { Context } from './context.ts';
import { durationsOf, OURS, type Measurement } from './measurement.ts';
import { EXECUTORS_DIR } from './peers/ours.ts';
import { startProcess } from './processes.ts';

interface Size {
  commands: number;
  /** The longest until one is due. */
  longestMs: number;
}
const FULL: Size = { commands: 200, longestMs: 12_000 };
const QUICK: Size = { commands: 40, longestMs: 2_000 };

/** Between two submissions, at most. */
const PAUSE_MS = 50;

export async function due(context: Context): Promise<Measurement[]> {
  await using bench = await context.migrated();
  const database = connect(bench.url, { applicationName: 'bench', max: 1 });
  await using _server = await startProcess('server', bench.url);
  await using _agent = await startProcess('agent', bench.url, { EXECUTORS_DIR });
  const size = context.quick ? QUICK : FULL;
  const deferred = await deferredStarts(database.pool, size);
  const retried = await retriedStarts(database.pool, size);
  await database.close();
  return [
    ...durationsOf('deferred, from its time to its start', OURS, [deferred]),
    ...durationsOf('retry, from its time to its start', OURS, [retried]),
  ];
}

async function deferredStarts(pool: pg.Pool, size: Size): Promise<number[]> {
  for (let i = 0; i < size.commands; i += 1) {
    const delayMs = Math.round(50 + Math.random() * size.longestMs);
    await pool.query(`select executor.submit_command('NOOP', '{}', $1)`, [
      JSON.stringify({ delayMs }),
    ]);
    await pause(PAUSE_MS * Math.random());
  }
  return await starts(pool, 'NOOP', size);
}

/** Each fails at once, and is retried after a random pause. */
async function retriedStarts(pool: pg.Pool, size: Size): Promise<number[]> {
  const backoff = { initialMs: size.longestMs, maxMs: size.longestMs };
  for (let i = 0; i < size.commands; i += 1) {
    await pool.query(`select executor.submit_command('FAILING', '{}', $1)`, [
      JSON.stringify({ maxAttempts: 2, backoff }),
    ]);
    await pause(PAUSE_MS * Math.random());
  }
  return await starts(pool, 'FAILING', size);
}

/** Waits until all of this type are done; answers the ms from each one's time to its start. */
async function starts(pool: pg.Pool, type: string, size: Size): Promise<number[]> {
  const longest = performance.now() + size.longestMs * 3;
  while (performance.now() < longest) {
    // No statement meanwhile: it is the idle system that is measured.
    await pause(size.longestMs / 4);
    const { rows } = await pool.query<{ late: number | null }>(
      `select extract(epoch from started_at - run_at)::float8 * 1000 as late
       from executor.commands
       where type = $1 and finished_at is not null`,
      [type],
    );
    if (rows.length === size.commands) return rows.map(({ late }) => late ?? NaN);
  }
  throw new Error('not all of them were done in time');
}
