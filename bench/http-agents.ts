// A thousand simple agents over HTTP at one server: what they cost while there is nothing to do, and how
// soon a command reaches one of them, 200 of these a second; how many a second they do, at most; and
// what a restart of PostgreSQL does to them.

import { setTimeout as sleep } from 'node:timers/promises';
import { v7 } from 'uuid';
import { commandTypes } from '../agent/executors/registry.ts';
import { connect, type Database } from '../db/connect.ts';
import { submitCommands } from '../db/commands.ts';
import { migrate } from '../db/migrate.ts';
import { submit } from '../tests/support/session.ts';
import type { Context } from './context.ts';
import { cpuMs } from './cpu.ts';
import { restartUnder, until } from './herd.ts';
import { durationsOf, OURS, type Measurement } from './measurement.ts';
import { Fleet } from './http-fleet.ts';
import { startProcess } from './processes.ts';

interface Size {
  agents: number;
  idleSeconds: number;
  /** Commands a second, for so many seconds. */
  rate: number;
  seconds: number;
}
const FULL: Size = { agents: 1_000, idleSeconds: 40, rate: 200, seconds: 15 };
const QUICK: Size = { agents: 200, idleSeconds: 5, rate: 200, seconds: 3 };

/** How many commands they then find at once. */
const BURST = { full: 20_000, quick: 2_000 };

export async function httpAgents(context: Context): Promise<Measurement[]> {
  const size = context.quick ? QUICK : FULL;
  await using cluster = await context.cluster({});
  await migrate(cluster.url, { types: commandTypes() });
  const database = connect(cluster.url, { applicationName: 'bench', max: 2 });
  await using server = await startProcess('server', cluster.url);
  const fleet = new Fleet(server.ready, size.agents);
  await untilRegistered(database, size.agents);
  await sleep(2_000);
  const idle = await cpuShare(server.pid, size.idleSeconds);
  const { latencies, share } = await trickle(database, fleet, server.pid, size);
  const rate = await burst(database, context.quick ? BURST.quick : BURST.full);
  await database.close();
  const what = `${size.agents} agents over HTTP`;
  const herd = { agents: size.agents, pids: [server.pid], what };
  const restarted = await restartUnder(cluster, herd);
  fleet.stop();
  const figure = (name: string, unit: string, value: number): Measurement => ({
    what: `${what}, ${name}`,
    subject: OURS,
    unit,
    values: [value],
  });
  return [
    figure('CPU of the server while idle', '% of a core', idle),
    ...durationsOf(`${what}, submit to start, ${size.rate} commands/s`, OURS, [latencies]),
    figure(`CPU of the server at ${size.rate} commands/s`, '% of a core', share),
    { ...figure('throughput', 'commands/s', rate), moreIsBetter: true },
    ...restarted,
  ];
}

async function trickle(database: Database, fleet: Fleet, server: number, size: Size) {
  const submittedAt = new Map<string, number>();
  const startedAt = performance.now();
  const busy = cpuShare(server, size.seconds);
  for (let i = 0; i < size.rate * size.seconds; i += 1) {
    await sleep(Math.max(0, startedAt + (i * 1_000) / size.rate - performance.now()));
    const id = v7();
    submittedAt.set(id, performance.now());
    await submitCommands(database.pool, [{ id, type: 'DELAY', payload: { ms: 0 } }]);
  }
  const share = await busy;
  await untilDone(database);
  const latencies = [...submittedAt].map(([id, at]) => (fleet.reachedAt.get(id) ?? NaN) - at);
  return { latencies, share };
}

/** Commands a second, of many at once. */
async function burst(database: Database, commands: number): Promise<number> {
  const { rows } = await database.pool.query<{ now: Date }>('select now()');
  await database.pool.query(`select executor.pause_queue('default')`);
  for (let sent = 0; sent < commands; sent += 1_000) await submit(database, 1_000);
  await database.pool.query(`select executor.resume_queue('default')`);
  await untilDone(database);
  const span = await database.pool.query<{ seconds: number }>(
    `select extract(epoch from max(finished_at) - min(started_at))::float8 as seconds
     from executor.commands
     where created_at >= $1`,
    [rows[0]?.now],
  );
  return commands / (span.rows[0]?.seconds ?? NaN);
}

async function untilRegistered(database: Database, agents: number): Promise<void> {
  await untilHolds(database, `select count(*) >= ${agents} as holds from executor.agents`);
}

async function untilDone(database: Database): Promise<void> {
  await untilHolds(database, 'select not exists (select from executor_queue.job_common) as holds');
}

async function untilHolds({ pool }: Database, question: string): Promise<void> {
  await until(async () => (await pool.query<{ holds: boolean }>(question)).rows[0]?.holds);
}

/** How much of a core a process takes over so many seconds, in percent. */
async function cpuShare(pid: number, seconds: number): Promise<number> {
  const before = cpuMs(pid);
  await sleep(seconds * 1_000);
  return ((cpuMs(pid) - before) / (seconds * 1_000)) * 100;
}
