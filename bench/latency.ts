// How soon a job starts, and how soon it is done, after it was submitted: on an idle system, and on one that
// does RATE other jobs a second, the same for all: what each of them can do on a small machine.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from './context.ts';
import { durationsOf, OURS, type Measurement } from './measurement.ts';
import { addWithGraphile, graphilePlain } from './peers/graphile-worker.ts';
import { ours, submitInSql } from './peers/ours.ts';
import { pgBossListening, sendWithPgBoss } from './peers/pg-boss.ts';
import { Prober, type Delays, type Probed } from './prober.ts';

/** Jobs a second beside the probes, so many at once. */
const RATE = 500;
const AT_ONCE = 10;

/** In a round, taken in so many turns with the other subjects. */
const PROBES = { full: 400, quick: 90 };
const TURNS = 4;

/** Slots of each worker. */
const CONCURRENCY = 10;

export const ourProbe: Probed = {
  peer: ours,
  open: (url) => Promise.resolve(submitInSql(url)),
  finished: {
    table: 'executor.commands',
    event: 'update',
    when: `new.type = 'PROBE' and new.status = 'COMPLETED'`,
    id: 'new.id',
  },
  began: `
    select id, (result ->> 'beganAtMs')::float8 as began
    from executor.commands
    where type = 'PROBE' and status = 'COMPLETED'`,
};

const SUBJECTS: (Probed & { subject: string })[] = [
  { subject: OURS, ...ourProbe },
  {
    subject: pgBossListening.subject,
    peer: pgBossListening,
    open: sendWithPgBoss,
    finished: {
      table: 'pgboss.job',
      event: 'update',
      when: `new.data ? 'probe' and new.state = 'completed'`,
      id: 'new.id',
    },
  },
  {
    subject: graphilePlain.subject,
    peer: graphilePlain,
    open: addWithGraphile,
    finished: {
      table: 'graphile_worker._private_jobs',
      event: 'delete',
      when: `old.payload ->> 'probe' is not null`,
      id: 'old.id',
    },
  },
];

export async function latency(context: Context): Promise<Measurement[]> {
  const probes = context.quick ? PROBES.quick : PROBES.full;
  await using stack = new AsyncDisposableStack();
  const subjects: { subject: string; prober: Prober; idle: Delays[]; loaded: Delays[] }[] = [];
  for (const probed of SUBJECTS) {
    const database = stack.use(await context.installed(probed.peer));
    const prober = stack.use(await Prober.open(probed, database.url, CONCURRENCY));
    subjects.push({ subject: probed.subject, prober, idle: [], loaded: [] });
  }
  for (let round = 0; round < context.rounds; round += 1) {
    for (const { idle, loaded } of subjects)
      for (const rounds of [idle, loaded]) rounds.push(none());
    for (let turn = 0; turn < TURNS; turn += 1)
      for (const { prober, idle, loaded } of subjects) {
        const probe = () => prober.probe(Math.ceil(probes / TURNS));
        add(idle, await probe());
        add(loaded, await underLoad(prober, probe));
      }
  }
  const spans: [what: string, of: (delays: Delays) => number[]][] = [
    ['submit to start', ({ toStart }) => toStart],
    ['answer to start', ({ fromAnswerToStart }) => fromAnswerToStart],
    ['submit to result', ({ toResult }) => toResult],
  ];
  const states: [state: string, of: (one: (typeof subjects)[number]) => Delays[]][] = [
    ['idle', ({ idle }) => idle],
    [`beside ${RATE} jobs/s`, ({ loaded }) => loaded],
  ];
  return states.flatMap(([state, roundsOf]) =>
    spans.flatMap(([what, delaysOf]) =>
      subjects.flatMap((one) =>
        durationsOf(
          `latency, ${what}, ${state}`,
          one.subject,
          roundsOf(one).map((round) => delaysOf(round)),
        ),
      ),
    ),
  );
}

function none(): Delays {
  return { toStart: [], toResult: [], fromAnswerToStart: [] };
}

/** To the latest round. */
function add(rounds: Delays[], delays: Delays): void {
  const round = rounds.at(-1) ?? none();
  for (const span of ['toStart', 'toResult', 'fromAnswerToStart'] as const)
    round[span].push(...delays[span]);
}

/** While it runs, other jobs are submitted; ends when these are done. */
async function underLoad<T>(prober: Prober, run: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  const loading = load(prober, over.signal);
  try {
    return await run();
  } finally {
    over.abort();
    await loading;
    await prober.untilDrained();
  }
}

async function load({ submitter }: Prober, signal: AbortSignal): Promise<void> {
  const startedAt = performance.now();
  for (let sent = 0; !signal.aborted; sent += AT_ONCE) {
    await sleep(Math.max(0, startedAt + (sent * 1_000) / RATE - performance.now()));
    await submitter.many(AT_ONCE);
  }
}
