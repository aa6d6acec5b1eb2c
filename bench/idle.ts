// What agents cost while there is nothing to do: statements a minute, CPU, connections and memory, over both
// transports, each with a database of its own. One server ticks, and is the one that agents over HTTP come to; its ticks, one a second however
// many agents there are, are not counted.

import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { commandTypes } from '../agent/executors/registry.ts';
import { migrate } from '../db/migrate.ts';
import type { Cluster } from './cluster.ts';
import type { Context } from './context.ts';
import { cpuMs, residentMb } from './cpu.ts';
import { OURS, type Measurement } from './measurement.ts';
import { startProcess, type BenchProcess } from './processes.ts';

type Transport = 'Postgres' | 'HTTP';
interface Size {
  fleets: number[];
  /** Until the first beats have passed. */
  settleS: number;
  seconds: number;
}
const FULL: Size = { fleets: [1, 10, 100], settleS: 12, seconds: 60 };
const QUICK: Size = { fleets: [5], settleS: 2, seconds: 10 };

/** So many agents start at a time. */
const AT_ONCE = 5;

const SETTINGS = { shared_preload_libraries: 'pg_stat_statements', max_connections: '400' };

export async function idle(context: Context): Promise<Measurement[]> {
  await using cluster = await context.cluster(SETTINGS);
  const size = context.quick ? QUICK : FULL;
  const measurements: Measurement[] = [];
  for (const agents of size.fleets) {
    const fleetOver = (transport: Transport) => idleFleet(cluster, transport, agents, size);
    // A quick run has no time for one after the other; they hardly disturb each other.
    const both = context.quick
      ? await Promise.all([fleetOver('Postgres'), fleetOver('HTTP')])
      : [await fleetOver('Postgres'), await fleetOver('HTTP')];
    measurements.push(...both.flat());
  }
  return measurements;
}

async function idleFleet(
  cluster: Cluster,
  transport: Transport,
  agents: number,
  { settleS, seconds }: Size,
): Promise<Measurement[]> {
  const name = `idle_${transport.toLowerCase()}_${agents}`;
  await run(cluster.url, `create database ${name}`);
  const url = Object.assign(new URL(cluster.url), { pathname: `/${name}` }).href;
  await migrate(url, { types: commandTypes() });
  await run(url, 'create extension pg_stat_statements');
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startProcess('server', url));
  const fleet: BenchProcess[] = [];
  while (fleet.length < agents) {
    const length = Math.min(AT_ONCE, agents - fleet.length);
    const starting = Array.from({ length }, () =>
      startProcess('agent', url, transport === 'HTTP' ? { SERVER_URL: server.ready } : {}),
    );
    for (const agent of await Promise.all(starting)) fleet.push(stack.use(agent));
  }
  await sleep(settleS * 1_000);
  const watch = new Watch(url, server, fleet);
  return (await watch.over(seconds)).map(([what, unit, value]) => ({
    what: `idle, ${agents} agent${agents > 1 ? 's' : ''} over ${transport}, ${what}`,
    subject: OURS,
    unit,
    values: [value],
  }));
}

/** Counts for some seconds. */
class Watch {
  readonly #url: string;
  readonly #server: BenchProcess;
  readonly #fleet: BenchProcess[];

  constructor(url: string, server: BenchProcess, fleet: BenchProcess[]) {
    this.#url = url;
    this.#server = server;
    this.#fleet = fleet;
  }

  async over(seconds: number): Promise<[what: string, unit: string, value: number][]> {
    const client = new Client(this.#url);
    await client.connect();
    const { rows } = await client.query<{ pid: number }>(BACKENDS);
    const backends = rows.map(({ pid }) => pid);
    await client.query(RESET);
    const before = this.#cpu(backends);
    await sleep(seconds * 1_000);
    const after = this.#cpu(backends);
    const calls = await client.query<{ n: number }>(STATEMENTS);
    await client.end();
    const perAgent = 1 / this.#fleet.length;
    const share = (part: keyof typeof before) =>
      ((after[part] - before[part]) / (seconds * 1_000)) * 100;
    const memory = this.#fleet.reduce((sum, { pid }) => sum + residentMb(pid), 0);
    return [
      ['statements', '/min an agent', ((calls.rows[0]?.n ?? NaN) / seconds) * 60 * perAgent],
      ['CPU of the agents', '% of a core, all', share('agents')],
      ['CPU of the server', '% of a core', share('server')],
      ['CPU of the database', '% of a core', share('database')],
      ["connections with the server's", 'in all', backends.length],
      ['memory', 'MB an agent', memory * perAgent],
    ];
  }

  #cpu(backends: number[]) {
    return {
      agents: sumOfCpuMs(this.#fleet.map(({ pid }) => pid)),
      server: cpuMs(this.#server.pid),
      database: sumOfCpuMs(backends),
    };
  }
}

function sumOfCpuMs(pids: number[]): number {
  return pids.reduce((ms, pid) => ms + cpuMs(pid), 0);
}

const BACKENDS = `
  select pid from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid()`;

const RESET = `
  select pg_stat_statements_reset(0, oid, 0) from pg_database where datname = current_database()`;

/** What clients sent, but for ticks and what this bench asks. */
const STATEMENTS = `
  select coalesce(sum(calls), 0)::integer as n
  from pg_stat_statements s
  join pg_database d on d.oid = s.dbid
  where d.datname = current_database()
    and s.toplevel
    and s.query not ilike '%executor.tick%'
    and s.query not ilike '%pg_stat_%'`;

async function run(url: string, statement: string): Promise<void> {
  const client = new Client(url);
  await client.connect();
  await client.query(statement);
  await client.end();
}
