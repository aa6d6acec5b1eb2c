// How soon the work of an agent that was killed or frozen runs on another, and that of one that is
// started again under its id. With the settings that everybody has: beats of 5 s, lost after 15.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { connect, type Database } from '../db/connect.ts';
import { startProgram, type Program } from '../tests/support/program.ts';
import { submit } from '../tests/support/session.ts';
import type { Context } from './context.ts';
import { durationsOf, OURS, type Measurement } from './measurement.ts';

/** How often each is done. */
const FULL = { kills: 50, freezes: 6, restarts: 15 };
const QUICK = { kills: 5, freezes: 1, restarts: 2 };
const COMMANDS = 12;
const COMMAND_MS = 1_500;

export async function kills(context: Context): Promise<Measurement[]> {
  const times = context.quick ? QUICK : FULL;
  await using bench = await context.migrated();
  const { url } = bench;
  const database = connect(url, { applicationName: 'bench', max: 2 });
  const dataDir = await mkdtemp(join(tmpdir(), 'agent-executor-bench-data-'));
  const server = startProgram('server', { DATABASE_URL: url });
  const agents = new Map<string, Program>();
  const start = async (id: string) => {
    const env = { DATABASE_URL: url, DATA_DIR: dataDir, AGENT_ID: id, CONCURRENCY: '20' };
    const agent = startProgram('agent', env);
    agents.set(id, agent);
    await agent.ready;
    return agent;
  };
  try {
    await server.ready;
    const restarted = await restarts(database, times.restarts, start);
    for (const id of ['a', 'b']) await start(id);
    await untilWatched(database.pool);
    const killed = await strikes(database, times.kills, async (id) => {
      agents.get(id)?.signal('SIGKILL');
      return async () => void (await start(id));
    });
    const frozen = await strikes(database, times.freezes, async (id) => {
      agents.get(id)?.signal('SIGSTOP');
      return async () => agents.get(id)?.signal('SIGCONT');
    });
    return [
      ...durationsOf('SIGKILL until its commands run on another agent', OURS, [killed]),
      ...durationsOf('SIGSTOP until its commands run on another agent', OURS, [frozen]),
      ...durationsOf('restart with the same id until its commands run again', OURS, [restarted]),
    ];
  } finally {
    for (const agent of agents.values()) await agent[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await database.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** One agent alone, killed and started again at once. */
async function restarts(
  database: Database,
  times: number,
  start: (id: string) => Promise<Program>,
): Promise<number[]> {
  const delays: number[] = [];
  let agent = await start('phoenix');
  for (let round = 0; round < times; round += 1) {
    const ids = await submit(database, COMMANDS, { ms: COMMAND_MS });
    await untilRunning(database.pool, ids);
    agent.signal('SIGKILL');
    await agent.exited;
    const restartedAtMs = Date.now();
    agent = await start('phoenix');
    delays.push(...(await startsAgain(database.pool, ids, restartedAtMs)));
    await untilDone(database.pool);
  }
  await agent[Symbol.asyncDispose]();
  return delays;
}

/** Strikes an agent that runs something, again and again; `strike` answers how to undo it. */
async function strikes(
  database: Database,
  times: number,
  strike: (agentId: string) => Promise<() => Promise<void>>,
): Promise<number[]> {
  const delays: number[] = [];
  for (let round = 0; round < times; round += 1) {
    const ids = await submit(database, COMMANDS, { ms: COMMAND_MS });
    await untilRunning(database.pool, ids);
    const { rows } = await database.pool.query<{ agent_id: string; ids: string[] }>(
      `select agent_id, array_agg(id) as ids
       from executor.commands
       where status = 'RUNNING'
       group by agent_id
       order by count(*) desc`,
    );
    const victim = rows[0];
    if (!victim) throw new Error('nothing runs');
    const struckAtMs = Date.now();
    const undo = await strike(victim.agent_id);
    delays.push(...(await startsAgain(database.pool, victim.ids, struckAtMs)));
    await undo();
    await untilDone(database.pool);
  }
  return delays;
}

/** For each command, ms from that moment until its second attempt started. */
async function startsAgain(pool: pg.Pool, ids: string[], sinceMs: number): Promise<number[]> {
  const seen = await until(async () => {
    const { rows } = await pool.query<{ started: number }>(
      `select extract(epoch from started_at)::float8 * 1000 as started
       from executor.command_attempts
       where command_id = any ($1) and attempt = 2`,
      [ids],
    );
    return rows.length === ids.length ? rows : undefined;
  });
  return seen.map(({ started }) => started - sinceMs);
}

async function untilRunning(pool: pg.Pool, ids: string[]): Promise<void> {
  await until(() =>
    holds(pool, `not exists (select from executor.commands where id = any ($1) and attempt = 0)`, [
      ids,
    ]),
  );
}

async function untilDone(pool: pg.Pool): Promise<void> {
  await until(() =>
    holds(pool, `not exists (select from executor.commands where finished_at is null)`),
  );
}

/** A missing session lock counts only when somebody has watched for a while. */
async function untilWatched(pool: pg.Pool): Promise<void> {
  await until(() =>
    holds(
      pool,
      `exists (
         select from executor.clock
         where isfinite(watching_since) and watching_since < now() - interval '16 s'
       )`,
    ),
  );
}

async function holds(pool: pg.Pool, condition: string, values: unknown[] = []) {
  const { rows } = await pool.query<{ holds: boolean }>(`select ${condition} as holds`, values);
  return rows[0]?.holds || undefined;
}

async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline) {
    const found = await look();
    if (found !== undefined) return found;
    await pause(10);
  }
  throw new Error('waited for a minute in vain');
}
