// Queues over REST: how each is, creating, pausing and resuming them.

import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Command } from '../../db/command-json.ts';
import type { QueueStatus } from '../../db/queue-states.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { listen } from '../support/listen.ts';
import { expectProblem } from '../support/problems.ts';
import { post, startServer, useServer } from '../support/server.ts';
import { startSession } from '../support/session.ts';

const database = useDatabase();
const server = useServer(database);

beforeEach(async () => {
  await emptyLedger(database());
  await database().pool.query(`delete from executor.queues where name <> 'default'`);
  await database().pool.query(`select executor.resume_queue('default')`);
});

const send = (method: string, path: string, init: RequestInit = {}) =>
  fetch(server().url + path, { method, ...init });

async function expectQueue(method: string, path: string, status = 200): Promise<QueueStatus> {
  const response = await send(method, path);
  expect(response.status).toBe(status);
  return (await response.json()) as QueueStatus;
}

async function list(): Promise<QueueStatus[]> {
  const response = await send('GET', '/queues');
  expect(response.status).toBe(200);
  return (await response.json()) as QueueStatus[];
}

const look = (name: string) => expectQueue('GET', `/queues/${name}`);

async function submit(options: object = {}, url = server().url): Promise<string> {
  const response = await post(url, { type: 'DELAY', payload: { ms: 1 }, ...options });
  expect(response.status).toBe(201);
  return ((await response.json()) as { commandId: string }).commandId;
}

const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

const EMPTY = {
  name: 'default',
  paused: false,
  pausedAt: null,
  depth: 0,
  running: 0,
  unclaimable: 0,
  unclaimableOf: [],
  oldestReadyAt: null,
  oldestReadyAgeMs: null,
  createdAt: TIME,
};

describe('looking', () => {
  test('there is one queue from the start, which is empty', async () => {
    expect(await list()).toEqual([EMPTY]);
    expect(await look('default')).toEqual(EMPTY);
  });

  test('a queue shows what waits, what runs, and since when the oldest waits', async () => {
    await using agent = await startSession(database());
    for (let i = 0; i < 3; i += 1) await submit();
    await submit({ delayMs: 60_000 });
    await agent.claim(1);
    const { rows } = await database().pool.query<{ at: Date }>(
      `update executor_queue.job_common set created_on = now() - interval '90 seconds'
       where id = (select id from executor.commands where status = 'PENDING' limit 1)
       returning created_on as at`,
    );
    const queue = await look('default');
    expect(queue).toEqual({
      ...EMPTY,
      depth: 2,
      running: 1,
      oldestReadyAt: rows[0]?.at.toISOString(),
      oldestReadyAgeMs: expect.any(Number),
    });
    expect(queue.oldestReadyAgeMs).toBeGreaterThanOrEqual(90_000);
    expect(queue.oldestReadyAgeMs).toBeLessThan(150_000);
  });

  test('what no living agent can run is counted, and said by type and target', async () => {
    await submit();
    await submit({ type: 'HTTP_REQUEST', payload: { url: 'http://127.0.0.1/' } });
    await submit({ target: { agentId: 'nobody' } });
    await submit({ target: { agentId: 'nobody' } });
    await submit({ target: { agentId: 'me' } });
    const [mine, nobodys, any] = [
      { type: 'DELAY', agentId: 'me', depth: 1 },
      { type: 'DELAY', agentId: 'nobody', depth: 2 },
      { type: 'DELAY', agentId: null, depth: 1 },
    ];
    const http = { type: 'HTTP_REQUEST', agentId: null, depth: 1 };
    expect(await look('default')).toMatchObject({
      depth: 5,
      unclaimable: 5,
      unclaimableOf: [any, mine, nobodys, http],
    });
    await using _me = await startSession(database(), 'me');
    await database().pool.query(`update executor.agents set types = '{DELAY}'`);
    const left = { depth: 5, unclaimable: 3, unclaimableOf: [nobodys, http] };
    expect(await look('default')).toMatchObject(left);
    expect(await list()).toMatchObject([left]);
    await database().pool.query(`select executor.drain_agent('me')`);
    expect(await look('default')).toMatchObject({ unclaimable: 5 });
  });

  test('a queue that no agent looks at is unclaimable, one that is paused is not', async () => {
    await using _agent = await startSession(database());
    await expectQueue('PUT', '/queues/side', 201);
    await submit({ queue: 'side' });
    await submit();
    await expectQueue('POST', '/queues/default/pause');
    expect(await list()).toMatchObject([
      { name: 'default', paused: true, depth: 1, unclaimable: 0, unclaimableOf: [] },
      { name: 'side', paused: false, depth: 1, unclaimable: 1, unclaimableOf: [{ type: 'DELAY' }] },
    ]);
  });
});

describe('creating', () => {
  test('a new queue is 201 with its address, one that is there 200 and as it was', async () => {
    const response = await send('PUT', '/queues/a.1_B-c');
    expect(response.status).toBe(201);
    const location = new URL(response.headers.get('location') ?? '', response.url);
    expect(location.href).toBe(`${server().url}/queues/a.1_B-c`);
    const created = (await response.json()) as QueueStatus;
    expect(created).toEqual({ ...EMPTY, name: 'a.1_B-c' });
    await expectQueue('POST', '/queues/a.1_B-c/pause');
    const again = await send('PUT', '/queues/a.1_B-c');
    expect(again.status).toBe(200);
    expect(again.headers.get('location')).toBeNull();
    expect(await again.json()).toMatchObject({ createdAt: created.createdAt, paused: true });
    expect((await list()).map(({ name }) => name)).toEqual(['a.1_B-c', 'default']);
  });

  test('with a slash at the end, its address is the same', async () => {
    const response = await send('PUT', '/queues/slash/');
    const location = new URL(response.headers.get('location') ?? '', response.url);
    expect(location.href).toBe(`${server().url}/queues/slash`);
  });

  test('of many who create it at once, one finds it new', async () => {
    const responses = await Promise.all(
      Array.from({ length: 12 }, () => send('PUT', '/queues/raced')),
    );
    const statuses = responses.map(({ status }) => status).toSorted((a, b) => a - b);
    expect(statuses).toEqual([...Array.from({ length: 11 }, () => 200), 201]);
  });

  test('commands can be submitted to it at once, here and at other servers', async () => {
    await using other = await startServer(database());
    await submit({}, other.url);
    await expectProblem(await post(server().url, commandFor('fresh')), 400);
    await expectProblem(await post(other.url, commandFor('fresh')), 400);
    await expectQueue('PUT', '/queues/fresh', 201);
    await submit({ queue: 'fresh' });
    await submit({ queue: 'fresh' }, other.url);
    expect(await look('fresh')).toMatchObject({ depth: 2 });
  });

  test('an empty object is as good as no body', async () => {
    const init = { headers: { 'Content-Type': 'application/json' }, body: '{}' };
    expect((await send('PUT', '/queues/with-body', init)).status).toBe(201);
  });

  test.each(["'%20or%201=1", '%00', '%ff', '%', 'a%2Fb', 'a%0A', 'ü', '%20', 'x'.repeat(65)])(
    'PUT /queues/%s is refused',
    async (name) => {
      const problem = await expectProblem(await send('PUT', `/queues/${name}`), 400);
      expect(problem.code).toBe('invalid_name');
      expect(problem.errors).toEqual([
        { pointer: '#/path/name', detail: expect.stringContaining('1 to 64') },
      ]);
      expect(await list()).toHaveLength(1);
    },
  );

  test('the longest name is fine', async () => {
    await expectQueue('PUT', `/queues/${'x'.repeat(64)}`, 201);
  });
});

const commandFor = (queue: string) => ({ type: 'DELAY', payload: { ms: 1 }, queue });

describe('pausing', () => {
  test('nothing of a paused queue is claimed until it is resumed; what runs goes on', async () => {
    await using agent = await startSession(database());
    const [running, waiting] = [await submit(), await submit()];
    const claimed = await agent.claim(1);
    const paused = await expectQueue('POST', '/queues/default/pause');
    expect(paused).toMatchObject({ paused: true, pausedAt: TIME, depth: 1, running: 1 });
    expect(await agent.claim()).toEqual([]);
    expect(await agent.complete(claimed)).toEqual(['accepted']);
    expect(claimed.map(({ id }) => id)).toEqual([running]);
    await using work = await listen(database().url, 'executor_work');
    const resumed = await expectQueue('POST', '/queues/default/resume');
    expect(resumed).toMatchObject({ paused: false, pausedAt: null, depth: 1 });
    await vi.waitFor(() => expect(work.payloads).toContain('default DELAY'));
    expect(await agent.claim()).toMatchObject([{ id: waiting }]);
  });

  test('pausing and resuming twice is harmless', async () => {
    const { pausedAt } = await expectQueue('POST', '/queues/default/pause');
    expect(await expectQueue('POST', '/queues/default/pause')).toMatchObject({ pausedAt });
    expect(await expectQueue('POST', '/queues/default/resume')).toMatchObject({ pausedAt: null });
    expect(await expectQueue('POST', '/queues/default/resume')).toMatchObject({ pausedAt: null });
  });

  test('a paused queue takes commands in', async () => {
    await expectQueue('POST', '/queues/default/pause');
    const id = await submit();
    const response = await send('GET', `/commands/${id}`);
    expect(((await response.json()) as Command).status).toBe('PENDING');
  });
});

describe.each([
  ['GET', ''],
  ['POST', '/pause'],
  ['POST', '/resume'],
])('%s /queues/…%s', (method, rest) => {
  test.each(['nope', 'Default', '%00', '%ff', '%', "'%20or%201=1", 'x'.repeat(65), 'default%0A'])(
    '%s is 404',
    async (name) => {
      const problem = await expectProblem(await send(method, `/queues/${name}${rest}`), 404);
      expect(problem).toMatchObject({
        code: 'unknown_queue',
        errors: [{ pointer: '#/path/name' }],
      });
    },
  );

  test('takes no query', async () => {
    const problem = await expectProblem(await send(method, `/queues/default${rest}?wait=1`), 400);
    expect(problem.errors).toMatchObject([{ pointer: '#/query/wait' }]);
  });
});

test.each([
  ['PUT', '/queues/bodily'],
  ['POST', '/queues/default/pause'],
  ['POST', '/queues/default/resume'],
])('%s %s takes no body but an empty object', async (method, path) => {
  const json = { 'Content-Type': 'application/json' };
  for (const [headers, body, status] of [
    [json, '{"paused":true}', 400],
    [json, '[]', 400],
    [json, 'null', 400],
    [json, '{', 400],
    [{ 'Content-Type': 'text/plain' }, '{}', 415],
  ] as const)
    await expectProblem(await send(method, path, { headers, body }), status);
  expect(await list()).toEqual([EMPTY]);
});

test.each([
  ['POST', '/queues'],
  ['DELETE', '/queues/default'],
  ['PATCH', '/queues/default'],
  ['GET', '/queues/default/pause'],
])('%s %s is no way to do anything', async (method, path) => {
  await expectProblem(await send(method, path), 405);
});
