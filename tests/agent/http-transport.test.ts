// Agents over HTTP when servers, replies and agents are lost. (That they otherwise do what all agents do
// is seen in the project `over-http`.)

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeEach, expect, test, vi } from 'vitest';
import { tick } from '../../db/recovery.ts';
import { expectStatus, runAgent } from '../support/agent.ts';
import { useAgentProcesses } from '../support/agent-process.ts';
import { startBalancer } from '../support/balancer.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { beatEvery, lastBeat } from '../support/lifeline.ts';
import { startProxy } from '../support/proxy.ts';
import { startServer } from '../support/server.ts';
import { row, submit } from '../support/session.ts';
import { recordingLog, startTicker } from '../support/ticker.ts';

const NOWHERE = 'postgres://127.0.0.1:1/nowhere';
const BLOCK = pathToFileURL(join(import.meta.dirname, '../support/block-event-loop.ts')).href;

const database = useDatabase();
const { ready, start } = useAgentProcesses(database);

// Before each and not after: what a test leaves behind is for the fixture to check.
beforeEach(async () => {
  await emptyLedger(database());
  await beatEvery(database(), 5_000);
  // What tests have DELAY answer is no DELAY's, and servers check results.
  await database().pool.query(
    `update executor.command_types set result_schema = '{}' where type = 'DELAY'`,
  );
});

const over = (url: string) => ({ serverUrl: url, pollIntervalMs: 50 });

/** Executors that wait until the test lets go of them, and what they were given. */
function gated() {
  const gate = Promise.withResolvers<void>();
  const executed: string[] = [];
  const execute = async (_payload: unknown, { commandId }: { commandId: string }) => {
    executed.push(commandId);
    await gate.promise;
    return {};
  };
  return { executed, execute, open: gate.resolve };
}

async function attempts(): Promise<unknown[]> {
  const { rows } = await database().pool.query(
    'select agent_id, attempt, outcome from executor.attempts order by attempt',
  );
  return rows;
}

test('a server that is away for a while costs nothing but time', async () => {
  await beatEvery(database(), 100);
  const { executed, execute, open } = gated();
  const { log, logged } = recordingLog();
  const server = await startServer(database());
  await using agent = await runAgent(database(), execute, { log, ledger: over(server.url) });
  const first = await submit(database(), 5);
  await vi.waitFor(() => expect(executed).toHaveLength(5), 5_000);
  await server[Symbol.asyncDispose]();
  open();
  const says = (msg: string) => logged.filter((line) => line['msg'] === msg).length;
  await vi.waitFor(() => {
    expect(says('could not report; trying again')).toBeGreaterThan(0);
    expect(says('could not claim')).toBe(1);
    expect(says('no beat; trying again')).toBe(1);
  }, 5_000);
  const second = await submit(database(), 5);
  const before = await lastBeat(database(), agent.agentId);
  await using _again = await startServer(database(), { port: Number(new URL(server.url).port) });
  await expectStatus(database(), 'COMPLETED', 10);
  await vi.waitFor(
    async () => expect(await lastBeat(database(), agent.agentId)).toBeGreaterThan(before),
    5_000,
  );
  expect(executed.toSorted()).toEqual([...first, ...second].toSorted());
  expect(await attempts()).toEqual([]);
  await vi.waitFor(() => expect(says('the server answers again')).toBe(1));
});

test('an idle agent lives by its open claim, and beats again once it is busy', async () => {
  await using server = await startServer(database());
  const { executed, execute, open } = gated();
  await using agent = await runAgent(database(), execute, { ledger: over(server.url) });
  const beat = async () => await lastBeat(database(), agent.agentId);
  const beats = () =>
    server.logged.filter(({ path }) => path === `/agents/${agent.agentId}/beat`).length;
  await vi.waitFor(() => expect(beats()).toBe(1), 5_000);
  const first = await beat();
  await vi.waitFor(async () => expect(await beat()).toBeGreaterThan(first + 8_000), 15_000);
  expect(beats()).toBe(1);
  const [id] = await submit(database(), 1);
  await vi.waitFor(() => expect(executed).toEqual([id]), 5_000);
  await vi.waitFor(async () => {
    const { rows } = await database().pool.query('select running from executor.agents');
    expect(rows).toEqual([{ running: 1 }]);
  }, 5_000);
  open();
  await expectStatus(database(), 'COMPLETED', 1);
});

test('of two servers behind one address either may die', async () => {
  const { executed, execute, open } = gated();
  const servers = [await startServer(database()), await startServer(database())];
  let connections = 0;
  await using balancer = await startBalancer(() =>
    Promise.resolve(servers[(connections += 1) % 2]?.url ?? ''),
  );
  await using _agent = await runAgent(database(), execute, { ledger: over(balancer.url) });
  const first = await submit(database(), 5);
  await vi.waitFor(() => expect(executed).toHaveLength(5), 5_000);
  await servers[0]?.[Symbol.asyncDispose]();
  const second = await submit(database(), 5);
  await vi.waitFor(() => expect(executed).toHaveLength(10), 10_000);
  const [cancelled] = second;
  await database().pool.query('select executor.cancel_command($1)', [cancelled]);
  await expectStatus(database(), 'CANCELLED', 1);
  open();
  await expectStatus(database(), 'COMPLETED', 9);
  expect(executed.toSorted()).toEqual([...first, ...second].toSorted());
  expect(await attempts()).toEqual([]);
  await servers[1]?.[Symbol.asyncDispose]();
});

test('what a lost reply had brought was never started, and goes back with the next beat', async () => {
  await beatEvery(database(), 200);
  await using server = await startServer(database());
  await using proxy = await startProxy(server.url);
  const [id] = await submit(database(), 1);
  const cut = proxy.cutReplyTo(/POST \/commands\/claim/);
  const { executed, execute, open } = gated();
  open();
  // It claims its own work again, and that is what tells that nothing hangs on the first claim.
  await using agent = await runAgent(database(), execute, { ledger: over(proxy.url) });
  await cut;
  await expectStatus(database(), 'COMPLETED', 1);
  expect(executed).toEqual([id]);
  expect(await attempts()).toEqual([{ agent_id: agent.agentId, attempt: 1, outcome: 'unstarted' }]);
});

test('an agent over HTTP needs no database, and opens no connection to one', async () => {
  await using server = await startServer(database());
  const { agentId, agent } = await ready({ DATABASE_URL: NOWHERE, SERVER_URL: server.url });
  const [id] = await submit(database(), 1, { ms: 0 });
  await expectStatus(database(), 'COMPLETED', 1);
  const { rows } = await database().pool.query(
    `select application_name from pg_stat_activity
     where datname = current_database() and application_name like 'agent-executor %'
       and application_name not like 'agent-executor server%'`,
  );
  expect(rows).toEqual([]);
  expect(await row(database(), id)).toMatchObject({ agent_id: agentId, attempt: 1 });
  const states = await database().pool.query(
    'select host, pid, version, state from executor.agent_states where id = $1',
    [agentId],
  );
  expect(states.rows).toEqual([
    {
      host: expect.any(String) as unknown,
      pid: agent.pid,
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/) as unknown,
      state: 'idle',
    },
  ]);
});

test('what a killed agent ran runs elsewhere once it has been silent for too long', async () => {
  await using server = await startServer(database());
  await using _ticker = await startTicker(database());
  const settings = { SERVER_URL: server.url, LOG_LEVEL: 'debug' };
  const { agent } = await ready({ ...settings, AGENT_ID: 'victim' });
  const [id] = await submit(database(), 1, { ms: 600_000 });
  await agent.printed(/"msg":"executing"/);
  const { agent: other } = await ready({ ...settings, AGENT_ID: 'other' });
  agent.kill('SIGKILL');
  await agent.exited;
  // Nobody has to wait for 15 s of its silence.
  await database().pool.query(
    `update executor.agents set beat_clock = beat_clock - 60000 where id = 'victim'`,
  );
  await database().pool.query(
    `update executor.clock set watching_since = now() - interval '1 hour'`,
  );
  await other.printed(/"attempt":2.*"msg":"executing"/);
  expect(await row(database(), id)).toMatchObject({ agent_id: 'other', attempt: 2, losses: 1 });
  await database().pool.query('select executor.cancel_command($1)', [id]);
  await expectStatus(database(), 'CANCELLED', 1);
});

test('an outcome that no server took before its agent died is reported first when it is back', async () => {
  const server = await startServer(database());
  const { agent, agentId } = await ready({ SERVER_URL: server.url, LOG_LEVEL: 'debug' });
  const [id] = await submit(database(), 1, { ms: 300 });
  await agent.printed(/"msg":"executing"/);
  await server[Symbol.asyncDispose]();
  await agent.printed(/"msg":"could not report; trying again"/);
  agent.kill('SIGKILL');
  await agent.exited;
  // With the server away it does not start, and forgets nothing.
  const early = start({ SERVER_URL: server.url });
  expect(await early.exited).toEqual({ code: 1, signal: null });
  expect(early.stderr()).toMatch(/^Cannot reach the server at .+\n$/);
  await using again = await startServer(database());
  const { agent: back } = await ready({ SERVER_URL: again.url, AGENT_ID: agentId });
  expect(back.stdout()).toMatch(/"answer":"accepted".*left in the journal"}\n.*"takenBack":0/);
  expect(await row(database(), id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
});

test('an agent whose event loop is blocked for longer than lost_after is not lost', async () => {
  await beatEvery(database(), 200);
  await using server = await startServer(database());
  const { agent, agentId } = await ready({
    SERVER_URL: server.url,
    NODE_OPTIONS: `--import=${BLOCK}`,
  });
  const [id] = await submit(database(), 1, { ms: 600_000 });
  await expectStatus(database(), 'RUNNING', 1);
  agent.kill('SIGUSR2');
  await agent.printed(/^blocked$/m);
  const blockedAt = await lastBeat(database(), agentId);
  await vi.waitFor(
    async () => {
      await tick(database().pool);
      expect(agent.stdout()).toMatch(/^unblocked$/m);
    },
    { timeout: 10_000, interval: 50 },
  );
  expect(await lastBeat(database(), agentId)).toBeGreaterThan(blockedAt + 1_500);
  expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
  await submit(database(), 3, { ms: 0 });
  await expectStatus(database(), 'COMPLETED', 3);
  expect(await attempts()).toEqual([]);
});

test('a cancel is heard at once, also of what was claimed after the beat that is held', async () => {
  await beatEvery(database(), 60_000);
  await using server = await startServer(database());
  const started: string[] = [];
  const aborted: string[] = [];
  await using _agent = await runAgent(
    database(),
    (_payload, { signal, commandId }) => {
      started.push(commandId);
      signal.addEventListener('abort', () => aborted.push(commandId));
      return new Promise(() => {});
    },
    { ledger: over(server.url) },
  );
  // The first is claimed after the beat was sent that the server holds by then.
  for (let round = 1; round <= 2; round += 1) {
    const [id] = await submit(database());
    await vi.waitFor(() => expect(started).toContain(id), 5_000);
    await database().pool.query('select executor.cancel_command($1)', [id]);
    // Far sooner than the next beat.
    await vi.waitFor(() => expect(aborted).toContain(id), 5_000);
    await expectStatus(database(), 'RUNNING', 0);
  }
});
