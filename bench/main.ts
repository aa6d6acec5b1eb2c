// `npm run bench [name …] [-- --quick] [--postgres=15]`: measures speed on a throwaway PostgreSQL with
// production's durability, and prints one table. Figures of one machine and one moment: compare within one
// run, by ratio. See bench/README.md.

import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '../db/embedded.ts';
import { findPostgres15 } from '../tests/support/postgres.ts';
import { claimAfterBurst } from './claim.ts';
import { Context } from './context.ts';
import { due } from './due.ts';
import { httpAgents } from './http-agents.ts';
import { kills } from './kills.ts';
import { lists } from './lists.ts';
import { tableOf, type Measurement } from './measurement.ts';
import { pickUp } from './pick-up.ts';
import { save } from './results.ts';
import { submission } from './submission.ts';
import { throughput } from './throughput.ts';
import { wait } from './wait.ts';

/** Beside peers; each answers measurements. */
const compared = { throughput, submission };

/** Of ours alone; each answers lines, on a migrated database of its own. */
const alone = { claimAfterBurst, due, httpAgents, kills, lists, pickUp, wait };

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, postgres: { type: 'string', default: '18' } },
});
const isWanted = (name: string) =>
  wanted.length > 0 ? wanted.includes(name) : name in compared || !options.quick;

const binaries = options.postgres === '15' ? findPostgres15() : undefined;
const home = await mkdtemp(join(tmpdir(), 'agent-executor-bench-'));
await chmod(home, 0o755);
const server = await startPostgres({
  dir: join(home, 'postgres'),
  ...(binaries && { binaries }),
});
const measurements: Measurement[] = [];
try {
  const context = new Context(server.url, { quick: options.quick ?? false });
  for (const [name, bench] of Object.entries(compared)) {
    if (!isWanted(name)) continue;
    const measured = await bench(context);
    measurements.push(...measured);
    for (const line of tableOf(measured)) console.log(line);
  }
  for (const [name, bench] of Object.entries(alone)) {
    if (!isWanted(name)) continue;
    await using database = await context.migrated();
    for (const line of await bench(database.url)) console.log(`${name}: ${line}`);
  }
  if (measurements.length > 0)
    console.log(await save(measurements, { url: server.url, ...options }));
} finally {
  await server.stop();
  await rm(home, { recursive: true, force: true });
}
