// Submitting: over REST, beside a route that only parses and answers; and in SQL, beside what peers offer.

import { PgBoss } from 'pg-boss';
import { Pool } from 'pg';
import { makeWorkerUtils } from 'graphile-worker';
import { v7 } from 'uuid';
import type { Context } from './context.ts';
import { load } from './http-load.ts';
import { OURS, type Measurement } from './measurement.ts';
import { graphilePlain, pgBoss } from './peers.ts';
import { startProcess } from './processes.ts';

const COMMAND = { type: 'DELAY', payload: { ms: 0 } };
const batchOf = (length: number) =>
  JSON.stringify({ commands: Array.from({ length }, () => COMMAND) });

/** How many callers there are at once, where the client is a library. */
const CALLERS = 10;

export async function submission(context: Context): Promise<Measurement[]> {
  return [...(await overRest(context)), ...(await bySql(context))];
}

async function overRest(context: Context): Promise<Measurement[]> {
  await using database = await context.migrated();
  await using server = await startProcess('server', database.url);
  await using koa = await startProcess('bench/workers/koa', database.url);
  const seconds = context.quick ? 2 : 4;
  const subjects = [
    { subject: OURS, url: server.ready },
    { subject: 'a route that only parses', url: koa.ready },
  ];
  const cases = [
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
  const measurements: Measurement[] = [];
  for (const { what, path, body, size, connections } of cases) {
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

interface Library {
  subject: string;
  one: () => Promise<unknown>;
  many: (size: number) => Promise<unknown>;
  close: () => Promise<unknown>;
}

async function bySql(context: Context): Promise<Measurement[]> {
  await using own = await context.migrated();
  await using theirs = await context.database();
  await using others = await context.database();
  await pgBoss.install(theirs.url);
  await graphilePlain.install(others.url);
  const libraries = [
    submitInSql(own.url),
    await sendWithPgBoss(theirs.url),
    await addWithGraphile(others.url),
  ];
  const cases = [
    { what: `one at a time, ${CALLERS} callers`, size: 1, act: (one: Library) => one.one() },
    { what: '1,000 at a time, 1 caller', size: 1_000, act: (one: Library) => one.many(1_000) },
  ];
  const measurements: Measurement[] = [];
  for (const { what, size, act } of cases) {
    const rows = libraries.map(({ subject }) => row(`submit in SQL, ${what}`, subject));
    for (let round = 0; round < context.rounds; round += 1)
      for (const [i, library] of libraries.entries()) {
        const callers = size === 1 ? CALLERS : 1;
        const rate = await repeat(() => act(library), callers, context.quick ? 1.5 : 3);
        rows[i]?.values.push(rate * size);
      }
    measurements.push(...rows);
  }
  for (const library of libraries) await library.close();
  return measurements;
}

/** Its database is dropped under it in the end. */
function openPool(url: string): Pool {
  return new Pool({ connectionString: url, max: CALLERS }).on('error', () => {});
}

function submitInSql(url: string): Library {
  const pool = openPool(url);
  const submit = (size: number) =>
    pool.query('select executor.submit($1)', [
      JSON.stringify(Array.from({ length: size }, () => ({ id: v7(), ...COMMAND }))),
    ]);
  return { subject: OURS, one: () => submit(1), many: submit, close: () => pool.end() };
}

async function sendWithPgBoss(url: string): Promise<Library> {
  const boss = new PgBoss({
    connectionString: url,
    supervise: false,
    schedule: false,
    max: CALLERS,
  });
  boss.on('error', () => {});
  await boss.start();
  return {
    subject: 'pg-boss send(), insert()',
    one: () => boss.send('noop', COMMAND.payload),
    many: (size) =>
      boss.insert(
        'noop',
        Array.from({ length: size }, () => ({ data: COMMAND.payload })),
      ),
    close: () => boss.stop({ graceful: false }),
  };
}

async function addWithGraphile(url: string): Promise<Library> {
  const pool = openPool(url);
  const utils = await makeWorkerUtils({ pgPool: pool });
  const job = { identifier: 'noop', payload: COMMAND.payload };
  return {
    subject: 'graphile-worker addJob(s)()',
    one: () => utils.addJob('noop', COMMAND.payload),
    many: (size) => utils.addJobs(Array.from({ length: size }, () => job)),
    close: async () => {
      await utils.release();
      await pool.end();
    },
  };
}

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
