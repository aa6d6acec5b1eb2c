// The agent as a process: its settings, its identity, its signals.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { expectStatus } from '../support/agent.ts';
import { useAgentProcesses } from '../support/agent-process.ts';
import { useDatabase } from '../support/database.ts';
import { row, startSession, submit } from '../support/session.ts';

const database = useDatabase();
const { dataDir, start, ready } = useAgentProcesses(database);

/** Over HTTP the ledger knows of it sooner than the agent. */
const EXECUTING = /"msg":"executing"/;

afterEach(async () => {
  await database().pool.query('truncate executor.commands, executor_queue.job cascade');
});

test('SIGTERM gives back what cannot finish in time, unharmed, and exits 0', async () => {
  const { agent, agentId } = await ready({ SHUTDOWN_TIMEOUT_MS: '100', LOG_LEVEL: 'debug' });
  const [id] = await submit(database(), 1, { ms: 600_000 });
  await agent.printed(EXECUTING);
  agent.kill('SIGTERM');
  expect(await agent.exited).toEqual({ code: 0, signal: null });
  expect(await row(database(), id)).toMatchObject({ status: 'PENDING', attempt: 1, error: null });
  const { rows } = await database().pool.query(
    `select outcome, agent_id, (select signed_off_at is not null from executor.agents a
      where a.id = agent_id) as gone from executor.attempts`,
  );
  expect(rows).toEqual([{ outcome: 'released', agent_id: agentId, gone: true }]);
});

test('SIGTERM lets what runs finish', async () => {
  const { agent } = await ready({ LOG_LEVEL: 'debug' });
  await submit(database(), 1, { ms: 400 });
  await agent.printed(EXECUTING);
  agent.kill('SIGTERM');
  expect(await agent.exited).toEqual({ code: 0, signal: null });
  await expectStatus(database(), 'COMPLETED', 1);
});

test('a second SIGTERM ends it at once, but not the echo of the first', async () => {
  const { agent } = await ready({ LOG_LEVEL: 'debug' });
  await submit(database(), 1, { ms: 600_000 });
  await agent.printed(EXECUTING);
  agent.kill('SIGTERM');
  agent.kill('SIGTERM');
  await agent.printed(/"msg":"draining"/);
  // Beyond what counts as an echo: the one thing here that only time can bring about.
  await sleep(600);
  expect(agent.stdout()).not.toContain('"msg":"stopped"');
  agent.kill('SIGTERM');
  expect(await agent.exited).toEqual({ code: 1, signal: null });
  await using twin = await startSession(database(), (await onlyAgent()) ?? '');
  await twin.complete(await twin.claim());
});

async function onlyAgent(): Promise<string | undefined> {
  const { rows } = await database().pool.query<{ agent_id: string }>(
    `select agent_id from executor.commands where status = 'RUNNING'`,
  );
  return rows[0]?.agent_id;
}

test('an agent that starts again is the same agent; two at once are two', async () => {
  const first = await ready();
  const second = await ready();
  expect(second.agentId).not.toBe(first.agentId);
  first.agent.kill('SIGKILL');
  await first.agent.exited;
  expect((await ready()).agentId).toBe(first.agentId);
});

test('a second process on one journal refuses to start', async () => {
  await ready({ AGENT_ID: 'solo' });
  const second = start({ AGENT_ID: 'solo' });
  expect(await second.exited).toEqual({ code: 1, signal: null });
  expect(second.stderr()).toMatch(/^Agent solo runs already: .+\n$/);
});

test('what a killed agent left is offered again when it is back', async () => {
  const { agent } = await ready({ AGENT_ID: 'phoenix' });
  const [id] = await submit(database(), 1, { ms: 300 });
  await expectStatus(database(), 'RUNNING', 1);
  agent.kill('SIGKILL');
  await agent.exited;
  await ready({ AGENT_ID: 'phoenix' });
  await expectStatus(database(), 'COMPLETED', 1);
  expect(await row(database(), id)).toMatchObject({ attempt: 2, agent_id: 'phoenix' });
});

test('an agent that another process with its id has superseded says so and exits 3', async () => {
  const { agent } = await ready({ AGENT_ID: 'twin' });
  await using _other = await startSession(database(), 'twin');
  expect(await agent.exited).toEqual({ code: 3, signal: null });
  expect(agent.stdout()).toContain('superseded: another process is this agent now');
});

test('LOG_DIR gets a file of its own for each agent', async () => {
  const { agent, agentId } = await ready({ LOG_DIR: join(dataDir(), 'logs') });
  agent.kill('SIGTERM');
  await agent.exited;
  const lines = readFileSync(join(dataDir(), 'logs', `${agentId}.log`), 'utf8')
    .trim()
    .split('\n');
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
    'ready',
    'draining',
    'stopped',
  ]);
});

test.each([
  [{ AGENT_ID: 'a/b', CONCURRENCY: '0' }, [], /^Wrong settings: AGENT_ID: .+; CONCURRENCY: .+\n$/],
  [{}, ['--concurrency', 'many'], /^Wrong settings: CONCURRENCY: .+\n$/],
  [{}, ['--nope'], /^Unknown option '--nope'.*\n$/],
  [{ SERVER_URL: 'localhost:3000' }, [], /^Wrong settings: SERVER_URL: .+\n$/],
  [{ SERVER_URL: 'http://u:geheim@/' }, [], /^Wrong settings: SERVER_URL: .+\n$/],
  [{ SERVER_URL: 'http://h/?geheim' }, [], /^Wrong settings: SERVER_URL: .+\n$/],
  [{ POLL_INTERVAL: '2 s' }, [], /^Wrong settings: POLL_INTERVAL: .+\n$/],
  [
    { SERVER_URL: 'http://u:geheim@127.0.0.1:1/a' },
    [],
    /^Cannot reach the server at http:\/\/127\.0\.0\.1:1\/a\/: .*ECONNREFUSED.*\n$/,
  ],
  [{ SERVER_URL: '', DATABASE_URL: '' }, [], /^No database: .+\n$/],
  [
    { SERVER_URL: '', DATABASE_URL: 'postgres://u:geheim@127.0.0.1:1/x' },
    [],
    /^Cannot reach the database: .+\n$/,
  ],
])('a start with %o %o says what is wrong in one line', async (env, args, message) => {
  const agent = start(env, args);
  expect(await agent.exited).toEqual({ code: 1, signal: null });
  expect(agent.stderr()).toMatch(message);
  expect(agent.stderr() + agent.stdout()).not.toContain('geheim');
});
