// The checker run: a system under random faults, then healing, then the verdict.
//
//   plan from the seed ─▶ submit and strike at the same time ─▶ heal ─▶ wait until all is done ─▶ judge
//
// Safety is watched all along; liveness is judged after healing only.

import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { timed } from '../../bench/timed.ts';
import { startBalancer } from '../support/balancer.ts';
import { Fleet } from './fleet.ts';
import { drawPlan, type Fault, type Scale } from './plan.ts';
import { startSink, type Hit } from './sink.ts';
import { submitAll, type Submissions } from './submitter.ts';
import { judge, type Violation } from './verdict.ts';
import { Watch } from './watch.ts';

export interface ChaosRun {
  violations: Violation[];
  faults: Fault[];
  submissions: Submissions;
  hits: Hit[];
  /** From the end of the faults until every process worked again. */
  healedInMs: number;
  /** From then until every command was done, or time was up. */
  doneInMs: number;
}

/** Everything must be done so long after healing. */
const DONE_WITHIN_MS = 30_000;
const LOOK_AGAIN_MS = 100;

export async function runChaos(
  database: { url: string; pool: pg.Pool },
  { seed, scale, dataDir }: { seed: number; scale: Scale; dataDir: string },
): Promise<ChaosRun> {
  const { pool } = database;
  await prepare(pool, scale);
  const plan = drawPlan(seed, scale);
  await using sink = await startSink();
  await using balancer = await startBalancer(() => fleet.url());
  await using fleet = new Fleet({
    databaseUrl: database.url,
    serverUrl: balancer.url,
    pool,
    dataDir,
    agents: scale.agents,
  });
  await fleet.ready();
  const watch = new Watch(pool);
  const ending = new AbortController();
  const watching = watch.run(ending.signal);
  watching.catch(() => {});
  try {
    const [submissions] = await Promise.all([
      submitAll(plan.commands, {
        url: () => fleet.url(),
        sinkUrl: (index, ms) => sink.urlFor(index, ms),
      }),
      strikeAll(plan.faults, fleet),
    ]);
    const { hits } = sink;
    const healedInMs = await timed(() => fleet.heal());
    const doneInMs = await timed(() => untilDone(pool));
    ending.abort();
    await watching;
    const judged = await judge(pool, { submissions, hits });
    const violations = [...watch.violations, ...judged];
    return { violations, faults: plan.faults, submissions, hits, healedInMs, doneInMs };
  } finally {
    ending.abort();
  }
}

// Quick settings: the same course of things, more often.
async function prepare(pool: pg.Pool, { lostAfterMs }: Scale): Promise<void> {
  await pool.query(
    `update executor.settings
     set beat_interval = $1 * interval '1 ms' / 3, lost_after = $1 * interval '1 ms'`,
    [lostAfterMs],
  );
}

async function strikeAll(faults: Fault[], fleet: Fleet): Promise<void> {
  const startedAt = performance.now();
  for (const fault of faults) {
    const waitMs = fault.atMs - (performance.now() - startedAt);
    if (waitMs > 0) await pause(waitMs);
    fleet.strike(fault);
  }
}

async function untilDone(pool: pg.Pool): Promise<void> {
  const deadline = performance.now() + DONE_WITHIN_MS;
  while (performance.now() < deadline) {
    const { rows } = await pool.query(
      'select from executor.commands where finished_at is null limit 1',
    );
    if (rows.length === 0) return;
    await pause(LOOK_AGAIN_MS);
  }
}
