// Commands that do nothing, from a backlog: claim, execute, journal, finish, with results kept. Beside
// peers, and beside the same row changes without any framework.
//
// Each run has as many jobs as its subject did in about so many seconds before: who is ten times as fast has
// ten times the jobs. One that turns out too short to mean anything is done again.

import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Context } from './context.ts';
import type { Measurement } from './measurement.ts';
import { bare, plainTables } from './peers/bare.ts';
import { graphileBatching, graphilePlain } from './peers/graphile-worker.ts';
import { ours } from './peers/ours.ts';
import type { Peer, Told, WorkerProcess } from './peers/peer.ts';
import { pgBoss, pgBossLarge } from './peers/pg-boss.ts';

interface Setting {
  processes: number;
  concurrency: number;
}

const SETTINGS: Setting[] = [
  { processes: 1, concurrency: 1 },
  { processes: 1, concurrency: 10 },
  { processes: 1, concurrency: 100 },
  { processes: 4, concurrency: 1 },
  { processes: 4, concurrency: 10 },
  { processes: 4, concurrency: 100 },
];
/** Of these, what one short round is for. */
const QUICK = 3;

/** How long a run is meant to take, and the shortest that counts. */
const SECONDS = { full: 4, quick: 1.3 };
const SHORTEST_S = 1;

const PEERS = [ours, pgBoss, graphileBatching, graphilePlain, bare];
/** Who holds a thousand jobs at a time is not beside who has one slot, or ten. */
const AT_100 = [ours, pgBoss, pgBossLarge, graphileBatching, graphilePlain, bare, plainTables];

export async function throughput(context: Context): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const setting of context.quick ? SETTINGS.slice(0, QUICK) : SETTINGS) {
    const { processes, concurrency } = setting;
    const what = `throughput, ${processes} process${processes > 1 ? 'es' : ''}, concurrency ${concurrency}`;
    const ofSetting = (concurrency < 100 ? PEERS : AT_100).map((peer) => ({
      peer,
      pace: peer.pace(concurrency),
      values: [] as number[],
    }));
    for (let round = 0; round < context.rounds; round += 1)
      for (const one of ofSetting) {
        one.pace = await paceOf(context, one.peer, setting, one.pace);
        one.values.push(one.pace);
      }
    for (const { peer, values } of ofSetting)
      measurements.push({
        what,
        subject: peer.subject,
        unit: 'jobs/s',
        moreIsBetter: true,
        values,
      });
  }
  return measurements;
}

/** Jobs a second. `guess` says how many jobs are enough. */
async function paceOf(
  context: Context,
  peer: Peer,
  setting: Setting,
  guess: number,
): Promise<number> {
  const wantedS = context.quick ? SECONDS.quick : SECONDS.full;
  const jobs = Math.ceil(guess * wantedS);
  const seconds = await drain(context, peer, setting, jobs);
  if (seconds >= SHORTEST_S) return jobs / seconds;
  const more = Math.ceil((jobs / seconds) * wantedS);
  return more / (await drain(context, peer, setting, more));
}

/** Seconds from the first one's start until none is left. */
async function drain(
  context: Context,
  peer: Peer,
  { processes, concurrency }: Setting,
  jobs: number,
): Promise<number> {
  await using database = await context.installed(peer);
  await peer.fill(database.url, jobs);
  const watcher = new Client(database.url);
  await watcher.connect();
  await watcher.query('checkpoint');
  const workers = await Promise.all(
    Array.from({ length: processes }, () => peer.start(database.url, concurrency)),
  );
  try {
    // Seldom: who asks reads past what was deleted.
    while (!(await isDrained(watcher, peer))) {
      await sleep(200);
      for (const worker of workers) worker.check();
    }
    const { firstAtMs = NaN, lastAtMs = NaN } = await spanOf(watcher, peer, workers);
    return (lastAtMs - firstAtMs) / 1_000;
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
    await watcher.end();
  }
}

async function isDrained(watcher: Client, { isDrained }: Peer): Promise<boolean> {
  const { rows } = await watcher.query<{ drained: boolean }>(isDrained);
  return rows[0]?.drained ?? false;
}

type Span = Omit<Told, 'probes'>;

async function spanOf(watcher: Client, peer: Peer, workers: WorkerProcess[]): Promise<Span> {
  if (peer.span) return (await watcher.query<Span>(peer.span)).rows[0] ?? {};
  const told = await Promise.all(workers.map((worker) => worker.told()));
  return {
    firstAtMs: Math.min(...told.map(({ firstAtMs = Infinity }) => firstAtMs)),
    lastAtMs: Math.max(...told.map(({ lastAtMs = -Infinity }) => lastAtMs)),
  };
}
