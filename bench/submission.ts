// Submitting: over REST, beside a route that only parses and answers; and in SQL, beside what peers offer.

import type { Context } from './context.ts';
import { load } from './http-load.ts';
import { OURS, type Measurement } from './measurement.ts';
import { addWithGraphile, graphilePlain } from './peers/graphile-worker.ts';
import { ours, submitInSql } from './peers/ours.ts';
import { CALLERS, type Submitter } from './peers/peer.ts';
import { pgBoss, sendWithPgBoss } from './peers/pg-boss.ts';
import { startProcess } from './processes.ts';

const COMMAND = { type: 'DELAY', payload: { ms: 0 } };
const batchOf = (length: number) =>
  JSON.stringify({ commands: Array.from({ length }, () => COMMAND) });

const REST = [
  ...[1, 10, 100, 500].map((connections) => ({
    what: `REST, one command a request, ${connections} connections`,
    path: '/commands',
    body: JSON.stringify(COMMAND),
    size: 1,
    connections,
  })),
  ...[100, 1_000].map((size) => ({
    what: `REST, ${size} commands a request, 4 connections`,
    path: '/commands/batch',
    body: batchOf(size),
    size,
    connections: 4,
  })),
];

const LIBRARIES = [
  { subject: OURS, peer: ours, open: submitInSql },
  { subject: 'pg-boss send(), insert()', peer: pgBoss, open: sendWithPgBoss },
  { subject: 'graphile-worker addJob(s)()', peer: graphilePlain, open: addWithGraphile },
];

const IN_SQL = [
  {
    what: `submit in SQL, one at a time, ${CALLERS} callers`,
    size: 1,
    callers: CALLERS,
    act: (submitter: Submitter) => submitter.one(),
  },
  {
    what: 'submit in SQL, 1,000 at a time, 1 caller',
    size: 1_000,
    callers: 1,
    act: (submitter: Submitter) => submitter.many(1_000),
  },
];

export async function submission(context: Context): Promise<Measurement[]> {
  return [...(await overRest(context)), ...(await bySql(context))];
}

async function overRest(context: Context): Promise<Measurement[]> {
  await using database = await context.migrated();
  await using server = await startProcess('server', database.url);
  await using koa = await startProcess('bench/workers/koa', database.url);
  const seconds = context.quick ? 1.2 : 4;
  const subjects = [
    { subject: OURS, url: server.ready },
    { subject: 'a route that only parses', url: koa.ready },
  ];
  const measurements: Measurement[] = [];
  for (const { what, path, body, size, connections } of REST) {
    const rows = subjects.map(({ subject }) => row(what, subject));
    for (let round = 0; round < context.rounds; round += 1)
      for (const [i, { url }] of subjects.entries()) {
        const rate = await load({ url: url + path, body, connections, seconds });
        rows[i]?.values.push(rate * size);
      }
    measurements.push(...rows);
  }
  return measurements;
}

async function bySql(context: Context): Promise<Measurement[]> {
  await using stack = new AsyncDisposableStack();
  const submitters: Submitter[] = [];
  for (const { peer, open } of LIBRARIES) {
    const database = stack.use(await context.installed(peer));
    const submitter = await open(database.url);
    stack.defer(async () => void (await submitter.close()));
    submitters.push(submitter);
  }
  const measurements: Measurement[] = [];
  for (const { what, size, callers, act } of IN_SQL) {
    const rows = LIBRARIES.map(({ subject }) => row(what, subject));
    for (let round = 0; round < context.rounds; round += 1)
      for (const [i, submitter] of submitters.entries()) {
        const rate = await repeat(() => act(submitter), callers, context.quick ? 1.2 : 3);
        rows[i]?.values.push(rate * size);
      }
    measurements.push(...rows);
  }
  return measurements;
}

/** How often a second so many callers do it, each again when it is done. */
async function repeat(
  act: () => Promise<unknown>,
  callers: number,
  seconds: number,
): Promise<number> {
  const startedAt = performance.now();
  const until = startedAt + seconds * 1_000;
  let done = 0;
  const caller = async () => {
    while (performance.now() < until) {
      await act();
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return (done * 1_000) / (performance.now() - startedAt);
}

function row(what: string, subject: string): Measurement {
  return { what, subject, unit: 'commands/s', moreIsBetter: true, values: [] };
}
