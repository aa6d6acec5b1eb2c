// `npm run bench [name …] [-- --quick] [--postgres=15] [--commands=20000]`: measures speed on a throwaway
// PostgreSQL with production's durability, and prints one table. Figures of one machine and one moment:
// compare within one run, by ratio. See bench/README.md.

import { parseArgs } from 'node:util';
import { findPostgres15 } from '../tests/support/postgres.ts';
import { backlog } from './backlog.ts';
import type { Bench } from './bench.ts';
import { cancel } from './cancel.ts';
import { startCluster, stopClusters } from './cluster.ts';
import { Context } from './context.ts';
import { due } from './due.ts';
import { fleet } from './fleet.ts';
import { httpAgents } from './http-agents.ts';
import { idle } from './idle.ts';
import { kills } from './kills.ts';
import { latency } from './latency.ts';
import { lists } from './lists.ts';
import { longHaul } from './long-haul.ts';
import { tableOf, type Measurement } from './measurement.ts';
import { pickUp } from './pick-up.ts';
import { save } from './results.ts';
import { submission } from './submission.ts';
import { targetsOf } from './targets.ts';
import { throughput } from './throughput.ts';
import { wait } from './wait.ts';

/** What a quick run has: beside peers, and what is short. */
const quick = { throughput, submission, latency, backlog, idle, due };

const benches: Record<string, Bench> = {
  ...quick,
  cancel,
  kills,
  pickUp,
  wait,
  lists,
  httpAgents,
  fleet,
  longHaul,
};

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    postgres: { type: 'string', default: '18' },
    commands: { type: 'string' },
  },
});
const wanted = positionals.length > 0 ? positionals : Object.keys(options.quick ? quick : benches);
const unknown = wanted.filter((name) => !Object.hasOwn(benches, name));
if (unknown.length > 0)
  throw new Error(`no bench ${unknown.join(', ')}; there are ${Object.keys(benches).join(', ')}`);

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void stopClusters().finally(() => process.exit(1)));

const binaries = options.postgres === '15' ? findPostgres15() : undefined;
await using cluster = await startCluster(binaries);
const context = new Context(cluster.url, {
  quick: options.quick,
  commands: options.commands === undefined ? undefined : Number(options.commands),
  binaries,
});
const all: Measurement[] = [];
for (const name of wanted)
  try {
    all.push(...(await run(name)));
  } catch (error) {
    // The others are none the worse for it.
    console.error(`${name}:`, error);
    process.exitCode = 1;
  }

const reached = targetsOf(all);
if (reached.length > 0) console.log('\ntargets, on a machine of two cores');
for (const line of reached) console.log(line);

async function run(name: string): Promise<Measurement[]> {
  const startedAt = performance.now();
  const measurements = (await benches[name]?.(context)) ?? [];
  const tookS = Math.round((performance.now() - startedAt) / 1_000);
  console.log(`\n${name} (${tookS} s)`);
  for (const line of tableOf(measurements)) console.log(line);
  // At once: what is measured is kept, whatever becomes of the next one.
  await save(cluster.url, { bench: name, quick: options.quick, tookS, measurements });
  return measurements;
}
