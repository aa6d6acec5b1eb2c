// What an agent that died knew, and what it does with it when it is back: real processes, real signals.

import { execFileSync, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import pino from 'pino';
import { afterEach, expect, test, vi } from 'vitest';
import { openJournal } from '../../agent/journal-identity.ts';
import { reportLeftovers } from '../../agent/journal-leftovers.ts';
import { PostgresTransport } from '../../agent/transports/postgres.ts';
import { StartupError } from '../../db/errors.ts';
import { expectStatus, isOverHttp, runAgent } from '../support/agent.ts';
import { useAgentProcesses } from '../support/agent-process.ts';
import { useDatabase } from '../support/database.ts';
import { startHttpServer } from '../support/http-server.ts';
import type { Running } from '../support/process.ts';
import { ERROR, row, startSession, submit } from '../support/session.ts';

const database = useDatabase();
const { dataDir, start, ready } = useAgentProcesses(database);

afterEach(async () => {
  await database().pool.query('truncate executor.commands, executor_queue.job cascade');
});

/**
 * Has an agent execute one command, and kills it while its report waits: in the database, so not over HTTP,
 * where it is the server that waits (see http-transport.test.ts). Answers the command's id.
 */
async function killBeforeReport(agentId: string, onRequest: () => void): Promise<string> {
  const asked = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  await using site = await startHttpServer((_request, response) => {
    onRequest();
    asked.resolve();
    void gate.promise.then(() => response.end('{"answer": 42}'));
  });
  const { agent } = await ready({ AGENT_ID: agentId });
  const { rows } = await database().pool.query<{ id: string }>(
    `select executor.submit_command('HTTP_GET_JSON', jsonb_build_object('url', $1::text)) as id`,
    [site.url],
  );
  const id = rows[0]!.id;
  await asked.promise;
  const holder = new Client(database().url);
  await holder.connect();
  await holder.query('begin');
  await holder.query('select from executor.commands where id = $1 for update', [id]);
  gate.resolve();
  await killWhileItWaits(agent);
  await holder.end();
  return id;
}

async function killWhileItWaits(agent: Running): Promise<void> {
  const waiting = `from pg_stat_activity where datname = current_database()
    and application_name like 'agent-executor agent%' and wait_event_type = 'Lock'`;
  await vi.waitFor(async () => {
    const { rowCount } = await database().pool.query(`select ${waiting}`);
    expect(rowCount).toBe(1);
  }, 5_000);
  agent.kill('SIGKILL');
  await agent.exited;
  // Its backend would still do what it was told once the lock is gone.
  await database().pool.query(`select pg_terminate_backend(pid, 5000) ${waiting}`);
}

function history(agentId: string): unknown[] {
  const journal = join(dataDir(), `agent-${agentId}`, 'journal.db');
  using reader = new DatabaseSync(journal, { readOnly: true });
  return reader
    .prepare('select * from executed_commands')
    .all()
    .map((entry) => entry['commandId']);
}

test.skipIf(isOverHttp())(
  'what was executed and not reported when the agent died is reported before it registers',
  async () => {
    let executions = 0;
    const id = await killBeforeReport('phoenix', () => (executions += 1));
    expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
    const { agent } = await ready({ AGENT_ID: 'phoenix' });
    expect(await row(database(), id)).toMatchObject({
      status: 'COMPLETED',
      attempt: 1,
      result: { status: 200, body: { answer: 42 } },
    });
    expect(executions).toBe(1);
    expect(agent.stdout()).toMatch(/"answer":"accepted".*left in the journal"}\n.*"takenBack":0/);
    expect(history('phoenix')).toEqual([id]);
  },
);

test.skipIf(isOverHttp())(
  'a command that comes back after it was executed is not executed again',
  async () => {
    let executions = 0;
    const id = await killBeforeReport('phoenix', () => (executions += 1));
    // Another process took the agent's place, and claimed the command anew.
    await using other = await startSession(database(), 'phoenix');
    expect(await other.claim()).toMatchObject([{ id, attempt: 2 }]);
    const { agent } = await ready({ AGENT_ID: 'phoenix' });
    await expectStatus(database(), 'COMPLETED', 1);
    expect(await row(database(), id)).toMatchObject({
      attempt: 3,
      result: { body: { answer: 42 } },
    });
    expect(executions).toBe(1);
    expect(agent.stdout()).toMatch(/"attempt":1,.*"answer":"stale"/);
    expect(agent.stdout()).toContain(`Command ${id} already executed (idempotency check)`);
    expect(history('phoenix')).toEqual([id]);
  },
);

test('a command that failed is executed again when it comes back', async () => {
  const [id] = await submit(database());
  const journal = openJournal(dataDir(), 'a');
  const failed = { id: id!, attempt: 1, outcome: 'failed' as const, error: ERROR };
  journal.file.append(randomUUID(), [{ report: failed, executedAt: 1_000 }]);
  journal.close();
  await using _agent = await runAgent(database(), undefined, { agentId: 'a', dataDir: dataDir() });
  await expectStatus(database(), 'COMPLETED', 1);
  expect(await row(database(), id)).toMatchObject({ result: { ok: true } });
});

test('without the database nothing that is left is forgotten', async () => {
  const journal = openJournal(dataDir(), 'a');
  const report = { id: randomUUID(), attempt: 1, outcome: 'completed' as const, result: {} };
  journal.file.append(randomUUID(), [{ report, executedAt: 1_000 }]);
  const log = pino({ level: 'silent' });
  const identity = { agentId: 'a', session: randomUUID() };
  const nowhere = new PostgresTransport('postgres://u@127.0.0.1:1/x', identity, log);
  await expect(reportLeftovers(journal.file, nowhere, log)).rejects.toThrow(StartupError);
  expect(journal.file.unacknowledged(10)).toMatchObject([{ report }]);
  // A ledger that does not know the command has answered all the same.
  const transport = new PostgresTransport(database().url, identity, log);
  await reportLeftovers(journal.file, transport, log);
  expect(journal.file.unacknowledged(10)).toEqual([]);
  await Promise.all([nowhere.close(), transport.close()]);
  journal.close();
});

test('an agent whose journal is damaged exits with one clear line and claims nothing', async () => {
  const { agent } = await ready({ AGENT_ID: 'solo' });
  agent.kill('SIGTERM');
  await agent.exited;
  writeFileSync(join(dataDir(), 'agent-solo', 'journal.db'), 'x'.repeat(10_000));
  await submit(database());
  const again = start({ AGENT_ID: 'solo' });
  expect(await again.exited).toEqual({ code: 1, signal: null });
  expect(again.stderr()).toMatch(/^The journal of agent solo is damaged .+\n$/);
  await expectStatus(database(), 'PENDING', 1);
});

test.skipIf(!canLimit())(
  'an agent that cannot write its journal ends what runs, claims nothing, and goes on when it can',
  async () => {
    const { agent, agentId } = await ready({ CONCURRENCY: '2' });
    limitFiles(agent.pid, '1');
    await submit(database(), 6);
    await agent.printed(/"level":"error".*"the journal is unusable: claiming nothing/);
    await expectStatus(database(), 'RUNNING', 0);
    const waiting = await count('PENDING');
    // What was claimed before the first write failed, and while it did.
    expect([2, 4]).toContain(waiting);
    await nextBeat(agentId);
    await expectStatus(database(), 'PENDING', waiting);
    limitFiles(agent.pid, 'unlimited');
    await expectStatus(database(), 'COMPLETED', 6);
    expect(agent.stdout().match(/the journal is unusable/g)).toHaveLength(1);
    expect(agent.stdout()).toContain('the journal can be written again');
    expect(history(agentId)).toHaveLength(waiting);
  },
);

test.skipIf(!canMount())('without disk space an agent claims nothing, until there is', async () => {
  await using disk = mountSmallDisk();
  const { agent, agentId } = await ready({ DATA_DIR: disk.dir });
  await submit(database());
  await expectStatus(database(), 'COMPLETED', 1);
  disk.fill();
  await submit(database(), 3);
  await agent.printed(
    /"level":"error".*disk (?:space|is full).*"the journal is unusable: claiming nothing/,
  );
  await nextBeat(agentId);
  await expectStatus(database(), 'PENDING', 3);
  disk.free();
  await expectStatus(database(), 'COMPLETED', 4);
});

async function count(status: string): Promise<number> {
  const { rows } = await database().pool.query<{ count: number }>(
    'select count(*)::int as count from executor.commands where status::text = $1',
    [status],
  );
  return rows[0]!.count;
}

async function nextBeat(agentId: string): Promise<void> {
  const beatAt = await lastBeat(agentId);
  await vi.waitFor(async () => expect(await lastBeat(agentId)).not.toEqual(beatAt), 10_000);
}

function canLimit(): boolean {
  return spawnSync('prlimit', ['--version']).status === 0;
}

/** Like a full disk for every file of the process; only the soft limit, so that it can be lifted. */
function limitFiles(pid: number, bytes: string): void {
  execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`]);
}

async function lastBeat(agentId: string): Promise<unknown> {
  const { rows } = await database().pool.query<{ beat_at: Date }>(
    'select beat_at from executor.agents where id = $1',
    [agentId],
  );
  return rows[0]?.beat_at;
}

/** Linux, and root. */
function canMount(): boolean {
  using disk = new DisposableStack();
  const dir = mkdtempSync(join(tmpdir(), 'agent-executor-test-'));
  disk.defer(() => rmSync(dir, { recursive: true }));
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dir]).status !== 0) return false;
  return spawnSync('umount', [dir]).status === 0;
}

function mountSmallDisk() {
  const dir = mkdtempSync(join(tmpdir(), 'agent-executor-test-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', dir]);
  const filler = join(dir, 'filler');
  return {
    dir,
    fill: () => void spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k']),
    free: () => rmSync(filler),
    [Symbol.asyncDispose]: async () => {
      execFileSync('umount', ['--lazy', dir]);
      rmSync(dir, { recursive: true });
    },
  };
}
