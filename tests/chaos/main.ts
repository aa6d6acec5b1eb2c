// `npm run chaos [-- --seed=… --seconds=60 --commands=2000 --agents=5]`: the long checker run, on a
// throwaway PostgreSQL. Exit code 1 and the offending commands' histories when a promise was broken.

import { randomInt } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { commandTypes } from '../../agent/executors/registry.ts';
import { connect } from '../../db/connect.ts';
import { migrate } from '../../db/migrate.ts';
import { startTestPostgres, temporaryDirectory } from '../support/postgres.ts';
import { details, summary } from './describe.ts';
import { runChaos } from './run.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(randomInt(2 ** 32)) },
    seconds: { type: 'string', default: '60' },
    commands: { type: 'string', default: '2000' },
    agents: { type: 'string', default: '5' },
  },
});
const seed = Number(values.seed);
const scale = {
  commands: Number(values.commands),
  agents: Number(values.agents),
  seconds: Number(values.seconds),
  lostAfterMs: 3_000,
};

console.log(
  `seed ${seed}: ${scale.commands} commands, ${scale.agents} agents, ` +
    `${scale.seconds} s of faults, lost after ${scale.lostAfterMs} ms`,
);
const server = await startTestPostgres();
const dataDir = await temporaryDirectory();
try {
  await migrate(server.url, { types: commandTypes() });
  const database = connect(server.url, { applicationName: 'chaos', max: 3 });
  const run = await runChaos({ url: server.url, pool: database.pool }, { seed, scale, dataDir });
  console.log(await summary(database.pool, run));
  if (run.violations.length > 0) {
    console.log(await details(database.pool, run));
    process.exitCode = 1;
  }
  await database.close();
} finally {
  await server.stop();
  await rm(dataDir, { recursive: true, force: true });
}
