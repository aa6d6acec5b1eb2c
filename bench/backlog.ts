// What a claim of ten costs, however much waits: with a thousand to five million jobs waiting, of five
// priorities, and others deferred by a day; and where statistics are wrong: the queue was drained, vacuumed and
// analysed, then filled, and nothing has analysed it since.
//
// After each claim its jobs are finished and as many are submitted, so that the backlog stays as it is.

import { Client } from 'pg';
import type { Context } from './context.ts';
import { graphileQueue } from './backlog/graphile-worker.ts';
import { ourQueue } from './backlog/ours.ts';
import { pgBossQueue } from './backlog/pg-boss.ts';
import type { Claimer, Queue } from './backlog/queue.ts';
import { timed } from './timed.ts';
import { durationsOf, type Measurement } from './measurement.ts';

const QUEUES = [ourQueue, pgBossQueue, graphileQueue];

/** The peers have all sizes too: they are filled in SQL, as fast as ours is. */
const WAITING = { full: [1_000, 100_000, 1_000_000, 5_000_000], quick: [1_000, 100_000] };
const DEFERRED = { full: 300_000, quick: 10_000 };
const BURST = { full: 300_000, quick: 30_000 };

const A_CLAIM = 10;
const CLAIMS = { full: 60, quick: 40 };

/** What is slow is not asked for so often. */
const MOST_MS = { full: 10_000, quick: 3_000 };
const FEWEST = 3;

/** A job or two of ordinary life before the queue is empty and analysed. */
const BEFORE_BURST = 1_000;

interface Case {
  what: string;
  queue: Queue;
  claimer: Claimer;
  rounds: number[][];
}

export async function backlog(context: Context): Promise<Measurement[]> {
  const sizes = context.quick ? WAITING.quick : WAITING.full;
  await using stack = new AsyncDisposableStack();
  const cases: Case[] = [];
  const add = async (what: string, queue: Queue, prepare: typeof fill, jobs: number) => {
    const { url } = stack.use(await context.installed(queue.peer));
    await prepare(context, queue, url, jobs);
    const claimer = await queue.open(url, A_CLAIM);
    stack.defer(() => claimer.close());
    cases.push({ what: `claim of ${A_CLAIM}, ${what}`, queue, claimer, rounds: [] });
  };
  const besides = `${thousands(context.quick ? DEFERRED.quick : DEFERRED.full)} deferred`;
  for (const waiting of sizes)
    for (const queue of QUEUES)
      await add(`${thousands(waiting)} waiting, ${besides}`, queue, fill, waiting);
  const burst = context.quick ? BURST.quick : BURST.full;
  for (const queue of QUEUES)
    await add(`${thousands(burst)} since the queue was empty`, queue, fillUnseen, burst);

  for (let round = 0; round < context.rounds; round += 1)
    for (const { claimer, rounds } of cases) rounds.push(await claims(context, claimer));
  return cases.flatMap(({ what, queue, rounds }) =>
    durationsOf(what, queue.subject, rounds, ['p50', 'p99']),
  );
}

async function fill(_: Context, queue: Queue, url: string, waiting: number): Promise<void> {
  await withClient(url, async (client) => {
    await queue.fill(client, waiting, _.quick ? DEFERRED.quick : DEFERRED.full);
    for (const table of queue.tables) await client.query(`vacuum analyze ${table}`);
  });
}

/** Jobs that the planner has never heard of. */
async function fillUnseen(_: Context, queue: Queue, url: string, burst: number): Promise<void> {
  const claimer = await queue.open(url, BEFORE_BURST);
  await claimer.refill();
  await claimer.claim();
  await claimer.finish();
  await claimer.close();
  await withClient(url, async (client) => {
    for (const table of queue.tables) {
      await client.query(`vacuum analyze ${table}`);
      await client.query(`alter table ${table} set (autovacuum_enabled = false)`);
    }
    await queue.fill(client, burst, 0);
  });
}

/** How long each of some claims took, in ms. */
async function claims(context: Context, claimer: Claimer): Promise<number[]> {
  const most = context.quick ? CLAIMS.quick : CLAIMS.full;
  const until = performance.now() + (context.quick ? MOST_MS.quick : MOST_MS.full);
  const durations: number[] = [];
  while (durations.length < most && (durations.length < FEWEST || performance.now() < until)) {
    let got = 0;
    durations.push(await timed(async () => (got = await claimer.claim())));
    if (got !== A_CLAIM) throw new Error(`a claim of ${A_CLAIM} got ${got}`);
    await claimer.finish();
    await claimer.refill();
  }
  return durations;
}

async function withClient(url: string, act: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client(url);
  await client.connect();
  try {
    await act(client);
  } finally {
    await client.end();
  }
}

function thousands(count: number): string {
  return count.toLocaleString('en-US');
}
