// `node tests/hammer/main.ts [seconds] [seed]`: hammers a throwaway PostgreSQL 18, then 15 where that is
// installed. Exits 1 at the first violation. HAMMER_POSTGRES=18 or 15 leaves the other out.

import { commandTypes } from '../../agent/executors/registry.ts';
import { migrate } from '../../db/migrate.ts';
import { findPostgres15, startTestPostgres } from '../support/postgres.ts';
import { hammer } from './hammer.ts';

const seconds = Number(process.argv[2] ?? 20);
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
const only = process.env['HAMMER_POSTGRES'];

for (const version of ['18', '15'].filter((v) => only === undefined || v === only)) {
  const binaries = version === '15' ? findPostgres15() : undefined;
  if (version === '15' && !binaries) continue;
  const server = await startTestPostgres(binaries);
  try {
    await migrate(server.url, { types: commandTypes() });
    console.log(`PostgreSQL ${version}, ${seconds} s, seed ${seed}`);
    const { violations, counts, healedMs } = await hammer(server.url, { seconds, seed });
    console.log(
      `  ${Object.entries(counts)
        .map((entry) => entry.join(' '))
        .join(', ')}`,
    );
    console.log(`  healed in ${healedMs} ms, ${violations.length} violations`);
    for (const violation of violations) console.log(`  ${violation}`);
    if (violations.length > 0) process.exitCode = 1;
  } finally {
    await server.stop();
  }
}
