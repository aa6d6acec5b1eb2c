// Agents over REST: who there is, and what each does.

import { beforeEach, describe, expect, test } from 'vitest';
import { tick } from '../../db/recovery.ts';
import { signOff } from '../../db/agents.ts';
import { useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { useServer } from '../support/server.ts';
import { startSession, submit } from '../support/session.ts';

const database = useDatabase();
const server = useServer(database);

beforeEach(async () => {
  await database().pool.query('truncate executor.agents, executor.commands cascade');
  await database().pool.query('truncate executor_queue.job');
});

interface AgentJson {
  id: string;
  state: string;
  commands: string[];
}

async function get(path: string) {
  const response = await fetch(`${server().url}${path}`);
  expect(response.status).toBe(200);
  return { response, body: (await response.json()) as AgentJson[] & AgentJson };
}

async function ids(query = ''): Promise<string[]> {
  return (await get(`/agents${query}`)).body.map(({ id }) => id);
}

test('without agents the list is empty', async () => {
  expect((await get('/agents')).body).toEqual([]);
});

test('an agent shows all there is to know but its session', async () => {
  await using session = await startSession(database(), 'b.1_x-Y');
  const { body } = await get('/agents');
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  expect(body).toEqual([
    {
      id: 'b.1_x-Y',
      state: 'idle',
      running: 0,
      concurrency: 10,
      lastBeatAt: time,
      registeredAt: time,
      lostAt: null,
      signedOffAt: null,
      host: 'test',
      pid: 1,
      version: '0',
      queues: ['default'],
      types: ['DELAY', 'HTTP_GET_JSON', 'HTTP_REQUEST'],
      beats: true,
      drainRequestedAt: null,
    },
  ]);
  const alone = await get('/agents/b.1_x-Y');
  expect(alone.body).toEqual({ ...body[0], commands: [] });
  expect(JSON.stringify([body, alone.body])).not.toContain(session.session);
});

test('a busy agent shows what it runs now', async () => {
  await using session = await startSession(database(), 'busy');
  const submitted = await submit(database(), 4);
  const claimed = await session.claim(3);
  await session.complete(claimed.slice(0, 1));
  const running = claimed.slice(1).map(({ id }) => id);
  expect((await get('/agents/busy')).body).toMatchObject({
    state: 'busy',
    running: 2,
    commands: running.toSorted(),
  });
  expect(submitted).toEqual(expect.arrayContaining(running));
});

test('it shows at most a thousand of them', async () => {
  await using session = await startSession(database(), 'very-busy');
  await submit(database(), 1_001);
  await session.claim(1_001);
  const { body } = await get('/agents/very-busy');
  expect(body).toMatchObject({ running: 1_001 });
  expect(body.commands).toHaveLength(1_000);
});

test('what an older session of the same id ran is not shown', async () => {
  await using _old = await startSession(database(), 'twin');
  await submit(database());
  await using _young = await startSession(database(), 'twin');
  expect((await get('/agents/twin')).body).toMatchObject({ state: 'idle', commands: [] });
});

test('the list is by id, and narrowed by state', async () => {
  await using idle = await startSession(database(), 'c-idle');
  await using busy = await startSession(database(), 'a-busy');
  await using lost = await startSession(database(), 'd-lost');
  await using gone = await startSession(database(), 'b-gone');
  await submit(database());
  await busy.claim();
  await signOff(database().pool, gone);
  await tick(database().pool);
  await database().pool.query(
    `update executor.clock set watching_since = now() - interval '1 minute'`,
  );
  await database().pool.query(
    `update executor.agents set beat_clock = beat_clock - 60000 where id = $1`,
    [lost.agentId],
  );
  await tick(database().pool);
  expect(await ids()).toEqual(['a-busy', 'b-gone', 'c-idle', 'd-lost']);
  expect(await ids('?state=idle')).toEqual([idle.agentId]);
  expect(await ids('?state=busy')).toEqual([busy.agentId]);
  expect(await ids('?state=lost')).toEqual([lost.agentId]);
  expect(await ids('?state=gone')).toEqual([gone.agentId]);
  expect(await ids('?state=draining')).toEqual([]);
  const time = expect.any(String);
  expect((await get('/agents/d-lost')).body).toMatchObject({ lostAt: time, signedOffAt: null });
  expect((await get('/agents/b-gone')).body).toMatchObject({ lostAt: null, signedOffAt: time });
});

test('a long list is paged, and the next page keeps the state', async () => {
  await database().pool.query(
    `insert into executor.agents (id, session, registered_at, beat_at, concurrency)
     select 'agent-' || to_char(n, 'FM0000'), gen_random_uuid(), now(), now(), 1
     from generate_series(1, 1005) as n`,
  );
  const { response, body } = await get('/agents?state=idle');
  expect(body).toHaveLength(1_000);
  const [, next = ''] = /^<(\?[^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '') ?? [];
  expect(next).toBe('?state=idle&after=agent-1000');
  const rest = await get(`/agents${next}`);
  expect(rest.body.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5].map((n) => `agent-100${n}`));
  expect(rest.response.headers.get('link')).toBeNull();
});

test.each([
  ['state=BUSY', 'state'],
  ['state=', 'state'],
  ['state=idle&state=busy', 'state'],
  ['after=', 'after'],
  ['after=%00', 'after'],
  ['limit=1', 'limit'],
  ['__proto__=1', '__proto__'],
])('GET /agents?%s is refused', async (query, name) => {
  const problem = await expectProblem(await fetch(`${server().url}/agents?${query}`), 400);
  expect(problem.code).toBe('invalid_query');
  expect(problem.errors).toEqual([{ pointer: `#/query/${name}`, detail: expect.any(String) }]);
});

test.each(['nobody', '%00', '%ff', '%', "'%20or%201=1", 'x'.repeat(65), 'a%0A'])(
  'GET /agents/%s is 404',
  async (id) => {
    const problem = await expectProblem(await fetch(`${server().url}/agents/${id}`), 404);
    expect(problem).toMatchObject({ code: 'unknown_agent', errors: [{ pointer: '#/path/id' }] });
  },
);

const send = (path: string, init: RequestInit = {}) =>
  fetch(`${server().url}/agents/${path}`, { method: 'POST', ...init });

async function answered(path: string): Promise<Record<string, unknown>> {
  const response = await send(path);
  expect(response.status).toBe(200);
  return (await response.json()) as Record<string, unknown>;
}

const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);

describe('draining', () => {
  test('an agent that is drained claims nothing until it is resumed, and finishes what it runs', async () => {
    await using session = await startSession(database(), 'me');
    const [first, second] = await submit(database(), 2);
    const running = await session.claim(1);
    const drained = await answered('me/drain');
    expect(drained).toMatchObject({
      id: 'me',
      state: 'draining',
      drainRequestedAt: TIME,
      commands: [first],
    });
    expect(drained).not.toHaveProperty('session');
    expect(await ids('?state=draining')).toEqual(['me']);
    expect(await session.claim()).toEqual([]);
    expect(await session.beat(running)).toMatchObject({ drain: true, ready: false });
    expect(await session.complete(running)).toEqual(['accepted']);
    const resumed = await answered('me/resume');
    expect(resumed).toMatchObject({ state: 'idle', drainRequestedAt: null, commands: [] });
    expect(await session.claim()).toMatchObject([{ id: second }]);
  });

  test('it holds for the next process of this agent too', async () => {
    await using _old = await startSession(database(), 'me');
    await answered('me/drain');
    await using young = await startSession(database(), 'me');
    await submit(database());
    expect(await young.claim()).toEqual([]);
    expect((await get('/agents/me')).body).toMatchObject({ state: 'draining' });
  });

  test('draining and resuming twice is harmless', async () => {
    await using _session = await startSession(database(), 'me');
    const { drainRequestedAt } = await answered('me/drain');
    expect(await answered('me/drain')).toMatchObject({ drainRequestedAt });
    await answered('me/resume');
    expect(await answered('me/resume')).toMatchObject({ drainRequestedAt: null });
  });

  test('one that is gone may be drained too, and stays gone', async () => {
    await using session = await startSession(database(), 'me');
    await signOff(database().pool, session);
    expect(await answered('me/drain')).toMatchObject({ state: 'gone', drainRequestedAt: TIME });
  });

  describe.each(['drain', 'resume'])('POST /agents/…/%s', (verb) => {
    test.each(['nobody', '%00', '%ff', '%', "'%20or%201=1", 'x'.repeat(65), 'me%0A'])(
      '%s is 404',
      async (id) => {
        await using _session = await startSession(database(), 'me');
        const problem = await expectProblem(await send(`${id}/${verb}`), 404);
        expect(problem).toMatchObject({
          code: 'unknown_agent',
          errors: [{ pointer: '#/path/id' }],
        });
      },
    );

    test('takes neither a query nor a body', async () => {
      await using _session = await startSession(database(), 'me');
      const query = await expectProblem(await send(`me/${verb}?force=1`), 400);
      expect(query.errors).toMatchObject([{ pointer: '#/query/force' }]);
      const headers = { 'Content-Type': 'application/json' };
      const body = await expectProblem(await send(`me/${verb}`, { headers, body: '{"a":1}' }), 400);
      expect(body.errors).toMatchObject([{ pointer: '#/a' }]);
      expect((await send(`me/${verb}`, { headers, body: '{}' })).status).toBe(200);
    });
  });
});

test('one that comes over HTTP and never beats shows that', async () => {
  await database().pool.query(`select executor.claim_many($1)`, [
    JSON.stringify([{ agentId: 'simple', queues: ['default'], types: ['DELAY'], limit: 1 }]),
  ]);
  expect((await get('/agents/simple')).body).toMatchObject({
    beats: false,
    queues: ['default'],
    types: ['DELAY'],
    host: null,
    pid: null,
    version: null,
  });
});
