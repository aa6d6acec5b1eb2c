// How soon after its time a deferred command, and a retry, starts: submitted in SQL, one server, one
// agent, and no other traffic.

import { setTimeout as pause } from 'node:timers/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { connect } from '../db/connect.ts';
import { distribution } from './distribution.ts';
import { startProcess } from './processes.ts';

const DEFERRED = 120;
const RETRIES = 120;
const LONGEST_MS = 12_000;
const EXECUTORS_DIR = join(import.meta.dirname, 'executors');

export async function due(url: string): Promise<string[]> {
  const database = connect(url, { applicationName: 'bench', max: 1 });
  await using _server = await startProcess('server', url);
  await using _agent = await startProcess('agent', url, { EXECUTORS_DIR });
  const deferred = await deferredStarts(database.pool);
  const retried = await retriedStarts(database.pool);
  await database.close();
  return [
    `deferred, from its time to its start: ${distribution(deferred)}`,
    `retry, from its time to its start: ${distribution(retried)}`,
  ];
}

async function deferredStarts(pool: pg.Pool): Promise<number[]> {
  for (let i = 0; i < DEFERRED; i += 1) {
    const delayMs = Math.round(50 + Math.random() * LONGEST_MS);
    await pool.query(`select executor.submit_command('DELAY', '{"ms": 0}', $1)`, [
      JSON.stringify({ delayMs }),
    ]);
    await pause(50 * Math.random());
  }
  return await starts(pool, 'DELAY');
}

/** Each fails at once, and is retried after a random pause. */
async function retriedStarts(pool: pg.Pool): Promise<number[]> {
  const backoff = { initialMs: LONGEST_MS, maxMs: LONGEST_MS };
  for (let i = 0; i < RETRIES; i += 1) {
    await pool.query(`select executor.submit_command($1, '{}', $2)`, [
      'FAILING',
      JSON.stringify({ maxAttempts: 2, backoff }),
    ]);
    await pause(50 * Math.random());
  }
  return await starts(pool, 'FAILING');
}

/** Waits until all of this type are done; answers the ms from each one's time to its start. */
async function starts(pool: pg.Pool, type: string): Promise<number[]> {
  const longest = performance.now() + LONGEST_MS * 3;
  while (performance.now() < longest) {
    // No statement meanwhile: it is the idle system that is measured.
    await pause(LONGEST_MS / 4);
    const { rows } = await pool.query<{ late: number | null }>(
      `select extract(epoch from started_at - run_at)::float8 * 1000 as late
       from executor.commands
       where type = $1 and finished_at is not null`,
      [type],
    );
    if (rows.length === (type === 'FAILING' ? RETRIES : DEFERRED))
      return rows.map(({ late }) => late ?? NaN);
  }
  throw new Error('not all of them were done in time');
}
