// Many agents on the Postgres transport, as processes of their own beside one server: what they carry out
// together, how soon a single command starts among them, and what a restart of PostgreSQL does to them.
//
// Each fleet is on a PostgreSQL of its own, with max_connections 400: an agent has three connections.

import type { Context } from './context.ts';
import { restartUnder, until } from './herd.ts';
import { ourProbe } from './latency.ts';
import { durationsOf, OURS, type Measurement } from './measurement.ts';
import { EXECUTORS_DIR, ours } from './peers/ours.ts';
import { withClient } from './peers/peer.ts';
import { Prober } from './prober.ts';
import { startProcess, type BenchProcess } from './processes.ts';

const FULL = { fleets: [10, 30, 100], jobs: 100_000, probes: 300 };
const QUICK = { fleets: [5], jobs: 10_000, probes: 50 };

const CONCURRENCY = '10';
const MAX_CONNECTIONS = 400;

/** So many agents start at a time. */
const AT_ONCE = 5;

export async function fleet(context: Context): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  const { fleets, jobs, probes } = context.quick ? QUICK : FULL;
  for (const agents of fleets) {
    await using cluster = await context.cluster({ max_connections: String(MAX_CONNECTIONS) });
    await ours.install(cluster.url);
    await using stack = new AsyncDisposableStack();
    const server = stack.use(await startProcess('server', cluster.url));
    const members = [server, ...(await startAgents(stack, cluster.url, agents))];
    const what = `${agents} agents on Postgres`;
    measurements.push({
      what: `${what}, throughput`,
      subject: OURS,
      unit: 'commands/s',
      moreIsBetter: true,
      values: [await drain(cluster.url, jobs)],
    });
    const { toStart } = await probe(cluster.url, probes);
    measurements.push(...durationsOf(`${what}, submit to start, idle`, OURS, [toStart]));
    const pids = members.map(({ pid }) => pid);
    measurements.push(...(await restartUnder(cluster, { agents, pids, what })));
  }
  return measurements;
}

async function startAgents(
  stack: AsyncDisposableStack,
  url: string,
  agents: number,
): Promise<BenchProcess[]> {
  const started: BenchProcess[] = [];
  while (started.length < agents) {
    const length = Math.min(AT_ONCE, agents - started.length);
    const env = { EXECUTORS_DIR, CONCURRENCY };
    const starting = Array.from({ length }, () => startProcess('agent', url, env));
    for (const agent of await Promise.all(starting)) started.push(stack.use(agent));
  }
  return started;
}

/** Commands a second, of a backlog that all of them are let loose on at once. */
async function drain(url: string, jobs: number): Promise<number> {
  return await withClient(url, async (client) => {
    await client.query(`select executor.pause_queue('default')`);
    await ours.fill(url, jobs);
    await client.query(`select executor.resume_queue('default')`);
    await until(
      async () => (await client.query<{ drained: boolean }>(ours.isDrained)).rows[0]?.drained,
    );
    const { rows } = await client.query<{ seconds: number }>(
      `select extract(epoch from max(finished_at) - min(started_at))::float8 as seconds
       from executor.commands`,
    );
    return jobs / (rows[0]?.seconds ?? NaN);
  });
}

async function probe(url: string, probes: number) {
  await using prober = await Prober.open(ourProbe, url, 0);
  return await prober.probe(probes);
}
