// The checker run in short; `npm run chaos` is the long one.

import { randomInt } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { details, summary } from './describe.ts';
import { runChaos } from './run.ts';

const database = useDatabase();

const SCALE = { commands: 300, agents: 5, seconds: 8, lostAfterMs: 2_000 };

test('under kills, freezes and cut connections every promise is kept', async () => {
  const seed = randomInt(2 ** 32);
  const dataDir = await temporaryDirectory();
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const { url, pool } = database();
  const run = await runChaos({ url, pool }, { seed, scale: SCALE, dataDir });
  const said = `seed ${seed}: ${await summary(pool, run)}`;
  console.log(said);
  expect(run.violations, `${said}\n${await details(pool, run)}`).toEqual([]);
}, 60_000);
