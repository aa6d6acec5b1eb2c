// `npm run demo`: 300 commands, and everything that could stop them, before your eyes.
//
// It runs `npm start` in a temporary directory, submits over REST, kills and freezes agents, crashes the
// database, and reads from the ledger what came of it. Exit code 1 when something was lost.

import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { connect } from './db/connect.ts';
import { Faults, type Say } from './demo/faults.ts';
import { launch, type DemoSystem } from './demo/launch.ts';
import { histories, outcome, prepareFaults, progress, sufferings } from './demo/ledger.ts';
import { exitOnError, onStopRequest } from './runtime/signals.ts';

const COMMANDS = 300;
const LONGEST_MS = 3_000;
const AGENTS = 4;
const CONCURRENCY = 6;
const LOST_AFTER_S = 4;
const SETTINGS = `update executor.settings
  set beat_interval = '1 second', lost_after = '${LOST_AFTER_S} seconds'`;

/** Long enough to be lost, and too short to miss what follows. */
const FREEZE_MS = (LOST_AFTER_S + 4) * 1_000;

const PATIENCE_MS = 60_000;
const SHOWN = 8;

const stopRequest = onStopRequest();
const startedAt = performance.now();

const say: Say = (line) => {
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1).padStart(5);
  process.stdout.write(`${seconds} s  ${line}\n`);
};

await exitOnError(async () => {
  say(`starting PostgreSQL, a server and ${AGENTS} agents in a temporary directory …`);
  try {
    process.exitCode = await show(await launch(process.env, stopRequest));
  } catch (error) {
    if (!stopRequest.aborted) throw error;
    process.exitCode = 1;
  }
  process.exit();
});

async function show(system: DemoSystem): Promise<number> {
  const database = connect(system.databaseUrl, { applicationName: 'demo', max: 3 });
  const { pool } = database;
  const faults = new Faults(pool, system, say);
  try {
    await prepareFaults(pool);
    await pool.query(SETTINGS);
    await system.startAgents(AGENTS, CONCURRENCY);
    say(`ready; here an agent counts as lost after ${LOST_AFTER_S} s of silence (by default 15)`);
    const acknowledged = await submitAll(system.url);
    say(`${acknowledged.length} commands submitted and acknowledged`);
    await Promise.all([watch(pool), strike(faults)]);
    return await conclude(pool, acknowledged);
  } finally {
    faults.thaw();
    await database.close();
    await system.stop();
  }
}

async function submitAll(url: string): Promise<string[]> {
  return await Promise.all(
    Array.from({ length: COMMANDS }, async () => {
      const ms = Math.round(Math.random() * LONGEST_MS);
      const response = await fetch(`${url}/commands`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ type: 'DELAY', payload: { ms } }),
      });
      if (response.status !== 201) throw new Error(`refused: ${response.status}`);
      return ((await response.json()) as { commandId: string }).commandId;
    }),
  );
}

async function strike(faults: Faults): Promise<void> {
  const signal = stopRequest;
  const wait = (ms: number) => pause(ms, undefined, { signal });
  await wait(1_500);
  await faults.kill();
  await wait(1_000);
  const frozen = faults.freeze(FREEZE_MS, signal);
  await wait(FREEZE_MS - 1_000);
  await faults.bounceDatabase(signal);
  await wait(1_500);
  await faults.kill();
  await faults.kill();
  await frozen;
}

/** Says how it goes each second, until everything is done. */
async function watch(pool: pg.Pool): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (performance.now() < deadline) {
    await pause(1_000, undefined, { signal: stopRequest });
    const now = await progress(pool).catch(() => undefined);
    if (!now) say('         the database is away');
    else
      say(
        `         ${now.done} done, ${now.running} running, ${now.waiting} waiting  [${now.agents}]`,
      );
    if (now && now.running + now.waiting === 0) return;
  }
}

async function conclude(pool: pg.Pool, acknowledged: string[]) {
  const suffered = await sufferings(pool);
  const result = await outcome(pool, acknowledged);
  const lines = suffered.map(({ what, agent, commands, seconds }) =>
    [
      what.padEnd(8),
      (agent ?? 'PostgreSQL').padEnd(10),
      `${commands} attempts ended`.padEnd(20),
      seconds === null ? '' : `running again after ${seconds.toFixed(1)} s`,
    ].join('  '),
  );
  const shown = await histories(pool, SHOWN);
  const healedIn = Math.max(...suffered.map(({ seconds }) => seconds ?? 0));
  process.stdout.write(
    `\n${lines.join('\n')}\n\n${result.suffered} commands needed more than one attempt:\n  ` +
      `${shown.join('\n  ')}\n${result.suffered > shown.length ? '  …\n' : ''}\n` +
      result.broken.map((promise) => `BROKEN ${promise}\n`).join('') +
      `${result.done} done, ${result.failed > 0 ? `${result.failed} failed, ` : ''}` +
      `${result.lost} lost, ${result.overwritten} overwritten, healed in ${healedIn.toFixed(1)} s\n`,
  );
  return result.lost + result.overwritten + result.broken.length > 0 ? 1 : 0;
}
