// The lifeline of a real agent process: blocked, killed, behind a pooler.

import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { tick } from '../../db/recovery.ts';
import { expectStatus } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { beatEvery, lastBeat, lockHolder } from '../support/lifeline.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { run, type Running } from '../support/process.ts';
import { row, submit } from '../support/session.ts';

const MAIN = join(import.meta.dirname, '../../agent/main.ts');
const BLOCK = pathToFileURL(join(import.meta.dirname, '../support/block-event-loop.ts')).href;
const AGENT_ID = 'lifeline-test';

const database = useDatabase();
const agents: Running[] = [];
let dataDir: string;

beforeEach(async () => {
  dataDir = await temporaryDirectory();
});

afterEach(async () => {
  for (const agent of agents.splice(0)) {
    agent.kill('SIGKILL');
    await agent.exited;
  }
  rmSync(dataDir, { recursive: true });
  await database().pool.query('truncate executor.commands, executor_queue.job cascade');
});

async function start(env: NodeJS.ProcessEnv = {}): Promise<Running> {
  const agent = run(MAIN, [], {
    env: { DATABASE_URL: database().url, DATA_DIR: dataDir, AGENT_ID, ...env },
  });
  agents.push(agent);
  await agent.printed(/"msg":"ready"/);
  return agent;
}

/** Ticks until the condition holds; fails when that takes longer than anything here should. */
async function tickUntil(condition: () => boolean | Promise<boolean>): Promise<void> {
  await vi.waitFor(
    async () => {
      await tick(database().pool);
      expect(await condition()).toBe(true);
    },
    { timeout: 10_000, interval: 50 },
  );
}

test('an agent whose event loop is blocked for longer than lost_after is not lost, and works on', async () => {
  await beatEvery(database(), 200);
  const agent = await start({ NODE_OPTIONS: `--import=${BLOCK}` });
  const [id] = await submit(database(), 1, { ms: 600_000 });
  await expectStatus(database(), 'RUNNING', 1);
  agent.kill('SIGUSR2');
  await agent.printed(/^blocked$/m);
  const blockedAt = await lastBeat(database(), AGENT_ID);
  await tickUntil(() => /^unblocked$/m.test(agent.stdout()));
  expect(await lastBeat(database(), AGENT_ID)).toBeGreaterThan(blockedAt + 1_500);
  expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
  await submit(database(), 3);
  await expectStatus(database(), 'COMPLETED', 3);
  const { rows } = await database().pool.query('select * from executor.attempts');
  expect(rows).toEqual([]);
});

test('what waits while the event loop is blocked is promoted by the agent itself', async () => {
  await beatEvery(database(), 200);
  const agent = await start({ NODE_OPTIONS: `--import=${BLOCK}` });
  agent.kill('SIGUSR2');
  await agent.printed(/^blocked$/m);
  await database().pool.query(
    `select executor.submit_command('DELAY', '{"ms": 0}', '{"delayMs": 1}')`,
  );
  await expectStatus(database(), 'PENDING', 1);
  expect(agent.stdout()).not.toMatch(/^unblocked$/m);
  await expectStatus(database(), 'COMPLETED', 1);
});

test('the session lock is gone with the process, and the agent is lost without a time-out', async () => {
  await beatEvery(database(), 60_000);
  const agent = await start();
  const [id] = await submit(database(), 1, { ms: 600_000 });
  await expectStatus(database(), 'RUNNING', 1);
  expect(await lockHolder(database(), AGENT_ID)).toEqual(expect.any(Number));
  // Somebody has watched for long enough, and still does: what is gone now is not lost in a gap.
  await tick(database().pool);
  await database().pool.query(
    `update executor.clock set watching_since = now() - interval '1 hour'`,
  );
  agent.kill('SIGKILL');
  await agent.exited;
  await vi.waitFor(
    async () => expect(await lockHolder(database(), AGENT_ID)).toBeUndefined(),
    10_000,
  );
  // Well before its silence would tell.
  await tickUntil(async () => (await row(database(), id)).status === 'PENDING');
  expect(await row(database(), id)).toMatchObject({ losses: 1 });
});

test('behind a pooler, the lifeline alone goes to DATABASE_DIRECT_URL', async () => {
  const role = `direct_${randomUUID().replaceAll('-', '')}`;
  await database().pool.query(`create role ${role} superuser login password 'direct'`);
  try {
    const direct = new URL(database().url);
    direct.username = role;
    direct.password = 'direct';
    const agent = await start({ DATABASE_DIRECT_URL: direct.href });
    const { rows } = await database().pool.query(
      `select distinct application_name from pg_stat_activity where usename = '${role}'`,
    );
    expect(rows).toEqual([{ application_name: `agent-executor lifeline ${AGENT_ID}` }]);
    await submit(database());
    await expectStatus(database(), 'COMPLETED', 1);
    agent.kill('SIGKILL');
    await agent.exited;
  } finally {
    await database().pool.query(`drop role ${role}`);
  }
});

test('a DATABASE_DIRECT_URL that leads nowhere is named in one line', async () => {
  const agent = run(MAIN, [], {
    env: {
      DATABASE_URL: database().url,
      DATA_DIR: dataDir,
      DATABASE_DIRECT_URL: 'postgres://u:geheim@127.0.0.1:1/x',
    },
  });
  agents.push(agent);
  expect(await agent.exited).toEqual({ code: 1, signal: null });
  expect(agent.stderr()).toMatch(/^Cannot reach the database: .+\n$/);
  expect(agent.stderr() + agent.stdout()).not.toContain('geheim');
});
