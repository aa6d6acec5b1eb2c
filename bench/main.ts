// `npm run bench [name …]`: measures speed on a throwaway PostgreSQL with production's durability, and
// prints distributions. Figures of one machine and one moment: compare within one run.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chmod } from 'node:fs/promises';
import { commandTypes } from '../agent/executors/registry.ts';
import { startPostgres } from '../db/embedded.ts';
import { migrate } from '../db/migrate.ts';
import { findPostgres15 } from '../tests/support/postgres.ts';
import { claimAfterBurst } from './claim.ts';
import { due } from './due.ts';
import { httpAgents } from './http-agents.ts';
import { kills } from './kills.ts';
import { lists } from './lists.ts';
import { pickUp } from './pick-up.ts';
import { posts } from './posts.ts';
import { throughput } from './throughput.ts';
import { wait } from './wait.ts';

const benches = { claimAfterBurst, due, httpAgents, kills, lists, pickUp, posts, throughput, wait };

const wanted = process.argv.slice(2);

for (const binaries of [undefined, findPostgres15()].filter((b, i) => i === 0 || b)) {
  console.log(binaries ? 'PostgreSQL 15' : 'PostgreSQL 18');
  for (const [name, bench] of Object.entries(benches)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const home = await mkdtemp(join(tmpdir(), 'agent-executor-bench-'));
    await chmod(home, 0o755);
    const server = await startPostgres({
      dir: join(home, 'postgres'),
      ...(binaries && { binaries }),
    });
    try {
      await migrate(server.url, { types: commandTypes() });
      for (const line of await bench(server.url)) console.log(`  ${name}: ${line}`);
    } finally {
      await server.stop();
      await rm(home, { recursive: true, force: true });
    }
  }
}
