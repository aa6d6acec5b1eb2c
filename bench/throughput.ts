// Commands that do nothing, from a backlog: claim, execute, journal, finish, with results kept. Beside
// peers, and beside the same row changes without any framework.

import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Context } from './context.ts';
import type { Measurement } from './measurement.ts';
import {
  bare,
  graphileBatching,
  graphilePlain,
  ours,
  pgBoss,
  type Peer,
  type Span,
  type WorkerProcess,
} from './peers.ts';

interface Setting {
  processes: number;
  concurrency: number;
  jobs: number;
}

const SETTINGS: Setting[] = [
  { processes: 1, concurrency: 1, jobs: 2_000 },
  { processes: 1, concurrency: 10, jobs: 10_000 },
  { processes: 1, concurrency: 100, jobs: 60_000 },
  { processes: 4, concurrency: 10, jobs: 20_000 },
  { processes: 4, concurrency: 100, jobs: 60_000 },
];
const QUICK: Setting[] = [
  { processes: 1, concurrency: 1, jobs: 800 },
  { processes: 1, concurrency: 10, jobs: 5_000 },
  { processes: 1, concurrency: 100, jobs: 20_000 },
];

const PEERS = [ours, pgBoss, graphileBatching, graphilePlain, bare];

export async function throughput(context: Context): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const setting of context.quick ? QUICK : SETTINGS) {
    const { processes, concurrency } = setting;
    const what = `throughput, ${processes} process${processes > 1 ? 'es' : ''}, concurrency ${concurrency}`;
    const ofSetting = PEERS.map(({ subject }) => ({
      what,
      subject,
      unit: 'jobs/s',
      moreIsBetter: true,
      values: [] as number[],
    }));
    for (let round = 0; round < context.rounds; round += 1)
      for (const [i, peer] of PEERS.entries())
        ofSetting[i]?.values.push(await drain(context, peer, setting));
    measurements.push(...ofSetting);
  }
  return measurements;
}

/** Jobs a second, from the first one's start until none is left. */
async function drain(
  context: Context,
  peer: Peer,
  { processes, concurrency, jobs }: Setting,
): Promise<number> {
  await using database = await context.database();
  await peer.install(database.url);
  await peer.fill(database.url, jobs);
  const watcher = new Client(database.url);
  await watcher.connect();
  await watcher.query('checkpoint');
  const workers = await Promise.all(
    Array.from({ length: processes }, () => peer.start(database.url, concurrency)),
  );
  try {
    // Seldom: who asks reads past what was deleted.
    while (!(await isDrained(watcher, peer))) await sleep(200);
    const { firstAtMs = NaN, lastAtMs = NaN } = await spanOf(watcher, peer, workers);
    return (jobs * 1_000) / (lastAtMs - firstAtMs);
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
    await watcher.end();
  }
}

async function isDrained(watcher: Client, { isDrained }: Peer): Promise<boolean> {
  const { rows } = await watcher.query<{ drained: boolean }>(isDrained);
  return rows[0]?.drained ?? false;
}

async function spanOf(watcher: Client, peer: Peer, workers: WorkerProcess[]): Promise<Span> {
  if (peer.span) return (await watcher.query<Span>(peer.span)).rows[0] ?? {};
  const spans = await Promise.all(workers.map((worker) => worker.span()));
  return {
    firstAtMs: Math.min(...spans.map(({ firstAtMs = Infinity }) => firstAtMs)),
    lastAtMs: Math.max(...spans.map(({ lastAtMs = -Infinity }) => lastAtMs)),
  };
}
