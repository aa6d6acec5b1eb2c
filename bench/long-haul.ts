// Two million commands through a ledger that is kept to its newest: one server that takes them over REST, one
// agent of a hundred slots, and a purge that deletes what was done first. Sizes, dead rows and memory are
// looked at again and again: they should reach a plateau. The second time, an open repeatable-read transaction
// keeps vacuum from removing anything for two minutes.

import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Context } from './context.ts';
import { Haul } from './long-haul/haul.ts';
import { reportOf, type Sample } from './long-haul/report.ts';
import { sample } from './long-haul/sample.ts';
import type { Measurement } from './measurement.ts';
import { EXECUTORS_DIR } from './peers/ours.ts';
import { startProcess } from './processes.ts';

const COMMANDS = { full: 2_000_000, quick: 20_000 };
const PINNED_MS = { full: 120_000, quick: 2_000 };

/** The ledger holds this share of all that pass through it. */
const KEPT = 1 / 20;
const SAMPLES = 100;
const LEAST_PAUSE_MS = 200;
const MOST_PAUSE_MS = 2_000;

/** The transaction is opened when this share has been done. */
const PINNED_FROM = 0.2;

export async function longHaul(context: Context): Promise<Measurement[]> {
  const commands = context.commands ?? (context.quick ? COMMANDS.quick : COMMANDS.full);
  const pinnedMs = context.quick ? PINNED_MS.quick : PINNED_MS.full;
  return [
    ...reportOf('long haul', await watch(context, commands, 0)),
    ...reportOf('long haul, horizon pinned', await watch(context, commands, pinnedMs)),
  ];
}

async function watch(context: Context, commands: number, pinnedMs: number): Promise<Sample[]> {
  await using database = await context.migrated();
  await using server = await startProcess('server', database.url);
  const env = { EXECUTORS_DIR, CONCURRENCY: '100' };
  await using agent = await startProcess('agent', database.url, env);
  await using haul = await Haul.start(database.url, server.ready, commands, commands * KEPT);
  const pauseMs = Math.min(MOST_PAUSE_MS, Math.max(LEAST_PAUSE_MS, commands / SAMPLES / 10));
  const samples: Sample[] = [];
  const startedAt = performance.now();
  let pinned: Promise<void> | undefined;
  while (!haul.isOver) {
    const now = await sample(database.url, { server: server.pid, agent: agent.pid });
    samples.push({ atS: (performance.now() - startedAt) / 1_000, done: haul.done, ...now });
    if (pinnedMs > 0 && haul.done >= commands * PINNED_FROM)
      pinned ??= pinHorizon(database.url, pinnedMs);
    await sleep(pauseMs);
  }
  await pinned;
  return samples;
}

/** Holds a snapshot, so that no row that is deleted meanwhile can be removed. */
async function pinHorizon(url: string, ms: number): Promise<void> {
  const client = new Client(url);
  await client.connect();
  await client.query('begin isolation level repeatable read');
  await client.query('select count(*) from executor.queues');
  await sleep(ms);
  await client.end();
}
