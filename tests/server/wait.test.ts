// Requests that are held until their command has finished.

import { once } from 'node:events';
import { connect as openSocket } from 'node:net';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Command } from '../../db/command-json.ts';
import { runAgent, expectStatus } from '../support/agent.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { startProxy } from '../support/proxy.ts';
import { post, startServer, submit, useServer } from '../support/server.ts';
import { startSession } from '../support/session.ts';

const database = useDatabase();
const server = useServer(database);

beforeEach(() => emptyLedger(database()));

const DELAY = { type: 'DELAY', payload: { ms: 0 } };
const PREFER = { Prefer: 'wait=10' };

type Waited = Command & { commandId: string };

function postTo(path: string, body: object, headers: Record<string, string> = {}) {
  const init = { method: 'POST', body: JSON.stringify(body) };
  return fetch(server().url + path, {
    ...init,
    headers: { 'Content-Type': 'application/json', ...headers },
  });
}

async function countListeners(): Promise<number> {
  const { rowCount } = await database().pool.query(
    `select from pg_stat_activity
     where datname = current_database() and application_name = 'agent-executor server changes'`,
  );
  return rowCount ?? NaN;
}

describe('a submission', () => {
  test.each([
    ['/commands', { Prefer: 'wait=10' }],
    ['/commands', { Prefer: 'respond-async, WAIT = "10" ; x=1, wait=3' }],
    ['/commands?wait=10', {}],
    ['/commands?wait=10', { Prefer: 'wait=0' }],
  ])('is answered with the finished command: %s %j', async (path, headers) => {
    await using agent = await runAgent(database(), () => Promise.resolve({ answer: 42 }));
    const response = await postTo(path, DELAY, headers);
    expect(response.status).toBe(200);
    expect(response.headers.get('preference-applied')).toBe('wait=10');
    const { commandId, ...command } = (await response.json()) as Waited;
    expect(command).toMatchObject({
      id: commandId,
      status: 'COMPLETED',
      result: { answer: 42 },
      agentId: agent.agentId,
    });
    expect(response.headers.get('location')).toBe(`commands/${commandId}`);
    const list = await fetch(`${server().url}/commands`);
    expect(await list.json()).toEqual([command]);
  });

  test('is answered also when the command failed or was cancelled', async () => {
    await using session = await startSession(database());
    const failing = post(server().url, { ...DELAY, maxAttempts: 1 }, PREFER);
    await expectStatus(database(), 'PENDING', 1);
    await session.fail(await session.claim());
    expect(await (await failing).json()).toMatchObject({ status: 'FAILED' });

    const cancelled = post(server().url, DELAY, PREFER);
    await expectStatus(database(), 'PENDING', 1);
    await database().pool.query(
      `select executor.cancel_commands(array_agg(id)) from executor.commands where status = 'PENDING'`,
    );
    const response = await cancelled;
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ status: 'CANCELLED' });
  });

  test('is answered as ever when it takes longer', async () => {
    const startedAtMs = performance.now();
    const response = await post(server().url, DELAY, { Prefer: 'wait=1' });
    expect(performance.now() - startedAtMs).toBeGreaterThan(990);
    expect(response.status).toBe(201);
    expect(response.headers.get('preference-applied')).toBeNull();
    expect(await response.json()).toEqual({ commandId: expect.any(String) });
  });

  test('that asks for no time is not held', async () => {
    for (const headers of [{ Prefer: 'wait=0' }, { Prefer: 'handling=lenient' }])
      expect((await post(server().url, DELAY, headers)).status).toBe(201);
    expect((await postTo('/commands?wait=0', DELAY)).status).toBe(201);
  });

  test('that is repeated under its key finds the finished command', async () => {
    await using _agent = await runAgent(database());
    const headers = { ...PREFER, 'Idempotency-Key': 'once' };
    const [first, second] = [
      await post(server().url, DELAY, headers),
      await post(server().url, DELAY, headers),
    ];
    expect(second.status).toBe(200);
    expect(await second.json()).toEqual(await first.json());
  });

  test.each(['wait', 'wait=', 'wait=61', 'wait=-1', 'wait=1.5', 'wait=1e1', 'wait=x', 'a, wait=x'])(
    'with %s is refused',
    async (preference) => {
      const response = await post(server().url, DELAY, { Prefer: preference });
      expect(await expectProblem(response, 400)).toMatchObject({
        errors: [{ pointer: '#/header/prefer' }],
      });
    },
  );

  test.each(['wait=', 'wait=61', 'wait=-1', 'wait=x', 'wait=1&wait=2', 'wait=99999999999'])(
    'with ?%s is refused',
    async (query) => {
      const response = await postTo(`/commands?${query}`, DELAY);
      expect(await expectProblem(response, 400)).toMatchObject({
        errors: [{ pointer: '#/query/wait' }],
      });
    },
  );

  test('nothing was submitted by what was refused', async () => {
    await postTo('/commands?wait=x', DELAY);
    await post(server().url, DELAY, { Prefer: 'wait=x' });
    await expectStatus(database(), 'PENDING', 0);
  });

  test('without a notification is answered all the same', async () => {
    await using proxy = await startProxy(database().url);
    proxy.blackholeAll();
    const deaf = { ...database(), url: proxy.url };
    await using own = await startServer(deaf, { times: { lookAnywayMs: 100 } });
    await using _agent = await runAgent(database());
    expect((await post(own.url, DELAY, PREFER)).status).toBe(200);
  });

  test('hundreds wait side by side', async () => {
    await using _agent = await runAgent(database());
    const waiting = Array.from({ length: 300 }, () => post(server().url, DELAY, PREFER));
    for (const response of await Promise.all(waiting)) {
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ status: 'COMPLETED' });
    }
  });

  test('whose client is gone waits no longer', async () => {
    await using own = await startServer(database(), { times: { idleMs: 20 } });
    const { hostname, port } = new URL(own.url);
    const socket = openSocket(Number(port), hostname);
    await once(socket, 'connect');
    const body = JSON.stringify(DELAY);
    const head = `Content-Type: application/json\r\nContent-Length: ${body.length}`;
    const before = await countListeners();
    socket.write(`POST /commands?wait=60 HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n${body}`);
    await vi.waitFor(async () => expect(await countListeners()).toBe(before + 1));
    socket.destroy();
    await vi.waitFor(async () => expect(await countListeners()).toBe(before));
  });

  test('is answered at once when the server stops', async () => {
    const own = await startServer(database());
    const waiting = post(own.url, DELAY, { Prefer: 'wait=60' });
    await expectStatus(database(), 'PENDING', 1);
    const stoppedAtMs = performance.now();
    await own[Symbol.asyncDispose]();
    expect((await waiting).status).toBe(201);
    expect(performance.now() - stoppedAtMs).toBeLessThan(900);
  });
});

describe('looking at one command', () => {
  test('may take until it has finished', async () => {
    await using session = await startSession(database());
    const id = await submit(server().url, 'DELAY', { ms: 0 });
    const looking = fetch(`${server().url}/commands/${id}?wait=10`);
    await session.complete(await session.claim());
    expect(await (await looking).json()).toMatchObject({
      status: 'COMPLETED',
      attempts: [{ attempt: 1, outcome: 'completed' }],
    });
    const again = await fetch(`${server().url}/commands/${id}`, { headers: PREFER });
    expect(await again.json()).toMatchObject({ status: 'COMPLETED' });
  });

  test('shows what it is when the time is up', async () => {
    const id = await submit(server().url, 'DELAY', { ms: 0 });
    const response = await fetch(`${server().url}/commands/${id}?wait=1`);
    expect(await response.json()).toMatchObject({ status: 'PENDING' });
  });

  test('of an unknown one takes no time', async () => {
    const path = '/commands/0198a0de-0000-7000-8000-000000000001?wait=60';
    await expectProblem(await fetch(server().url + path), 404);
    await expectProblem(await fetch(`${server().url}/commands/nope?wait=x`), 404);
  });

  test('can be asked for nothing else', async () => {
    const id = await submit(server().url, 'DELAY', { ms: 0 });
    for (const name of ['wait', 'limit']) {
      const problem = await expectProblem(
        await fetch(`${server().url}/commands/${id}?${name}=x`),
        400,
      );
      expect(problem.errors).toMatchObject([{ pointer: `#/query/${name}` }]);
    }
  });
});
