// What a restart of PostgreSQL does to a fleet: how long from its shutdown until every agent has given a sign of
// life again, what CPU that takes, and how many connections there are at most.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from './cluster.ts';
import { cpuMs, familyCpuMs } from './cpu.ts';
import { OURS, type Measurement } from './measurement.ts';
import { withClient } from './peers/peer.ts';

interface Herd {
  agents: number;
  /** Of the agents and servers. */
  pids: number[];
  what: string;
}

const PATIENCE_MS = 180_000;

export async function restartUnder(
  cluster: Cluster,
  { agents, pids, what }: Herd,
): Promise<Measurement[]> {
  const ownCpuMs = () => pids.reduce((ms, pid) => ms + cpuMs(pid), 0);
  const before = ownCpuMs();
  const startedAt = performance.now();
  await cluster.restart();
  let connections = 0;
  await withClient(cluster.url, (client) =>
    until(async () => {
      const { rows } = await client.query<{ back: number; connections: number }>(BACK);
      connections = Math.max(connections, rows[0]?.connections ?? 0);
      return (rows[0]?.back ?? 0) >= agents;
    }),
  );
  const figure = (name: string, unit: string, value: number): Measurement => ({
    what: `${what}, PostgreSQL restarts: ${name}`,
    subject: OURS,
    unit,
    values: [value],
  });
  return [
    figure('until all are back', 's', (performance.now() - startedAt) / 1_000),
    figure('CPU of agents and server', 's', (ownCpuMs() - before) / 1_000),
    figure('CPU of PostgreSQL', 's', familyCpuMs(cluster.pid()) / 1_000),
    figure('most connections', '', connections),
  ];
}

const BACK = `
  select
    (
      select count(*)::integer from executor.agents where beat_at > pg_postmaster_start_time()
    ) as back,
    (
      select count(*)::integer from pg_stat_activity where backend_type = 'client backend'
    ) as connections`;

/** @throws when it does not hold within three minutes. */
export async function until(holds: () => Promise<boolean | undefined>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error('waited for three minutes in vain');
    await sleep(50);
  }
}
