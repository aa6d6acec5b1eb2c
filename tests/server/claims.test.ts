// Agents over HTTP, as the server sees them: claiming, waiting for work, reporting.

import { randomUUID } from 'node:crypto';
import { connect as connectSocket } from 'node:net';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { send, sessionClient, simpleClient } from '../support/client.ts';
import { expectProblem } from '../support/problems.ts';
import { post, startServer, submit, useServer } from '../support/server.ts';
import { row, startSession } from '../support/session.ts';

const database = useDatabase();
const server = useServer(database);
const url = () => server().url;
const DELAY_RESULT = { ok: true, tookMs: 1 };

beforeEach(() => emptyLedger(database()));

const delay = (options: object = {}) =>
  post(url(), { type: 'DELAY', payload: { ms: 1 }, ...options }).then(
    async (response) => ((await response.json()) as { commandId: string }).commandId,
  );

const query = async (text: string, values: unknown[] = []) =>
  (await database().pool.query<Record<string, unknown>>(text, values)).rows;

/** Waits until so many agents wait at the server: their first look is over. */
const untilWaiting = (count: number) =>
  vi.waitFor(async () => {
    const [agents] = await query(`select count(*)::int from executor.agents`);
    expect(agents).toEqual({ count });
  });

describe('the contract of simple clients', () => {
  const client = simpleClient(url, 'X');

  test('a command goes from next to its result', async () => {
    const id = await delay();
    const { status, body } = await client.next();
    expect(status).toBe(200);
    expect(body).toMatchObject({
      id,
      type: 'DELAY',
      payload: { ms: 1 },
      status: 'RUNNING',
      agentId: 'X',
    });
    expect(body['assignedAt']).toBe(body['startedAt']);
    expect(await client.report(id, { result: DELAY_RESULT })).toEqual({
      status: 200,
      body: { success: true },
    });
    const done = await send(url(), 'GET', `/commands/${id}`);
    expect(done.body).toMatchObject({ status: 'COMPLETED', result: DELAY_RESULT, agentId: 'X' });
  });

  test('204 when there is none, without a body; 400 without agentId', async () => {
    expect(await client.next()).toEqual({ status: 204, body: undefined });
    const { status, body } = await send(url(), 'GET', '/commands/next');
    expect(status).toBe(400);
    expect(body).toMatchObject({ errors: [{ pointer: '#/query/agentId' }] });
  });

  test('a result without result, or without agentId, is 400', async () => {
    const id = await delay();
    await client.next();
    for (const [body, pointer] of [
      [{ agentId: 'X' }, '#/result'],
      [{ result: DELAY_RESULT }, '#/agentId'],
      [{ agentId: 'X', result: DELAY_RESULT, error: { message: 'no' } }, '#/result'],
      [{ agentId: 'X', result: null }, '#/result'],
    ] as const) {
      const answer = await send(url(), 'PUT', `/commands/${id}/result`, body);
      expect(answer.status).toBe(400);
      expect(answer.body).toMatchObject({ errors: [{ pointer }] });
    }
    expect(await row(database(), id)).toMatchObject({ status: 'RUNNING' });
  });

  test('a result for what is unknown is 404, for what one does not own 409', async () => {
    const waiting = await delay();
    const result = { result: DELAY_RESULT };
    expect((await client.report(randomUUID(), result)).status).toBe(404);
    expect((await client.report('no-uuid', result)).status).toBe(404);
    const early = await client.report(waiting, result);
    expect(early).toMatchObject({ status: 409, body: { code: 'not_owner' } });
    await client.next();
    expect((await simpleClient(url, 'Y').report(waiting, result)).status).toBe(409);
    expect((await client.report(waiting, { ...result, attempt: 2 })).status).toBe(409);
    expect((await client.report(waiting, { ...result, session: randomUUID() })).status).toBe(409);
    expect((await client.report(waiting, { ...result, attempt: 1 })).status).toBe(200);
    expect((await client.report(waiting, result)).status).toBe(409);
    expect(await row(database(), waiting)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  });

  test('HEAD claims nothing', async () => {
    const id = await delay();
    const response = await fetch(`${url()}/commands/next?agentId=X`, { method: 'HEAD' });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET');
    expect(await row(database(), id)).toMatchObject({ status: 'PENDING' });
  });

  test('one that polls while it owns a command gets it again, first', async () => {
    const [first, second] = [await delay(), await delay()];
    expect((await client.next()).body.id).toBe(first);
    expect((await client.next()).body).toMatchObject({ id: first, attempt: 2 });
    expect((await simpleClient(url, 'Y').next()).body.id).toBe(second);
    const { attempts } = (await send(url(), 'GET', `/commands/${first}`)).body;
    expect(attempts).toMatchObject([{ outcome: 'lost' }, { outcome: null }]);
  });

  test('without types only DELAY and HTTP_GET_JSON are for it', async () => {
    const other = await submit(url(), 'HTTP_REQUEST', { url: 'http://127.0.0.1:1/' });
    expect((await client.next()).status).toBe(204);
    expect((await client.next('&types=HTTP_REQUEST,DELAY')).body.id).toBe(other);
  });

  test('queues are named; the default one unless they are', async () => {
    await query(`select executor.create_queue('other')`);
    const id = await delay({ queue: 'other' });
    expect((await client.next()).status).toBe(204);
    expect((await client.next('&queues=default,other')).body.id).toBe(id);
  });

  test('an error fails the attempt, which is retried unless it says otherwise', async () => {
    const again = await delay({ backoff: { initialMs: 0 } });
    await client.next();
    const error = { message: 'out of luck' };
    expect((await client.report(again, { error })).status).toBe(200);
    expect(await row(database(), again)).toMatchObject({ status: 'SCHEDULED', failures: 1 });
    await send(url(), 'POST', `/commands/${again}/cancel`);
    const never = await delay();
    await client.next();
    await client.report(never, { error: { ...error, retryable: false } });
    expect(await row(database(), never)).toMatchObject({
      status: 'FAILED',
      error: { code: 'executor_error', message: 'out of luck', retryable: false },
    });
  });

  test('a result that the schema of its type refuses fails the attempt, and says where', async () => {
    const id = await delay();
    await client.next();
    const { status, body } = await client.report(id, { result: { ok: 'yes' } });
    expect(status).toBe(422);
    expect(body).toMatchObject({ code: 'invalid_result' });
    expect(body['errors']).toContainEqual({ pointer: '#/result/tookMs', detail: 'missing' });
    expect(await row(database(), id)).toMatchObject({
      status: 'FAILED',
      error: { code: 'invalid_result', retryable: false },
    });
  });

  test('an agent with a session has to say which', async () => {
    await using _agent = await startSession(database(), 'X');
    expect(await client.next()).toMatchObject({ status: 409, body: { code: 'session_needed' } });
  });
});

describe('waiting for work', () => {
  test('a command that comes later is answered at once, and the wait ends without one', async () => {
    const client = simpleClient(url, 'W');
    const polled = client.next('&wait=30');
    await untilWaiting(1);
    const id = await delay();
    expect((await polled).body.id).toBe(id);
    await client.report(id, { result: DELAY_RESULT });
    expect((await client.next('&wait=1')).status).toBe(204);
  });

  test('each of many that wait gets one of a burst, and nobody gets two', async () => {
    const clients = Array.from({ length: 60 }, (_, i) => simpleClient(url, `many-${i}`));
    const polled = clients.map((client) => client.next('&wait=30'));
    await untilWaiting(60);
    const commands = Array.from({ length: 60 }, () => ({ type: 'DELAY', payload: { ms: 1 } }));
    const batch = await send(url(), 'POST', '/commands/batch', { commands });
    const got = await Promise.all(polled);
    expect(new Set(got.map(({ body }) => body.id))).toEqual(
      new Set(batch.body['commandIds'] as string[]),
    );
    expect(got.every(({ body }) => body.attempt === 1)).toBe(true);
  });

  test('what is meant for one that waits goes to it', async () => {
    const one = simpleClient(url, 'one').next('&wait=5');
    const two = simpleClient(url, 'two').next('&wait=5');
    await untilWaiting(2);
    const id = await delay({ target: { agentId: 'two' } });
    expect((await two).body.id).toBe(id);
    const rest = await delay();
    expect((await one).body.id).toBe(rest);
  });

  test('one that was asked to drain gets nothing, and does not stand in the way', async () => {
    const drained = simpleClient(url, 'drained').next('&wait=30');
    await untilWaiting(1);
    await query(`select executor.drain_agent('drained')`);
    const other = simpleClient(url, 'other').next('&wait=30');
    await untilWaiting(2);
    const [first, second] = [await delay(), await delay({ target: { agentId: 'drained' } })];
    expect((await other).body.id).toBe(first);
    expect(await row(database(), second)).toMatchObject({ status: 'PENDING' });
    await query(`select executor.resume_agent('drained')`);
    expect((await drained).body.id).toBe(second);
  });

  test('of two polls of one agent the newer counts', async () => {
    const client = simpleClient(url, 'twice');
    const older = client.next('&wait=30');
    await untilWaiting(1);
    const newer = client.next('&wait=30');
    expect((await older).status).toBe(204);
    const id = await delay();
    expect((await newer).body.id).toBe(id);
  });

  test('a client that goes away while it waits loses no command', async () => {
    const abort = new AbortController();
    const polled = fetch(`${url()}/commands/next?agentId=away&wait=30`, { signal: abort.signal });
    await untilWaiting(1);
    abort.abort();
    await expect(polled).rejects.toThrow('abort');
    const id = await delay();
    const other = await simpleClient(url, 'other').next('&wait=5');
    expect(other.body).toMatchObject({ id });
  });

  test('what is claimed for one that goes away in that moment goes back at once', async () => {
    // What a claim has to read is locked, so that it waits, and with it the answer.
    const blocker = await database().pool.connect();
    try {
      await simpleClient(url, 'away').next();
      const id = await delay();
      await blocker.query('begin; lock table executor.lanes in access exclusive mode');
      const abort = new AbortController();
      const polled = fetch(`${url()}/commands/next?agentId=away`, { signal: abort.signal });
      await vi.waitFor(async () =>
        expect(
          await query(
            `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%claim_many%'`,
          ),
        ).toHaveLength(1),
      );
      abort.abort();
      await expect(polled).rejects.toThrow('abort');
      await blocker.query('commit');
      await vi.waitFor(async () => {
        const { status, attempt } = await row(database(), id);
        expect([status, attempt]).toEqual(['PENDING', 1]);
      });
      expect(await query('select outcome from executor.attempts')).toEqual([
        { outcome: 'unstarted' },
      ]);
    } finally {
      await blocker.query('rollback');
      blocker.release();
    }
  });

  test('an agent whose row somebody holds does not hold up the others', async () => {
    await simpleClient(url, 'held').next();
    const blocker = await database().pool.connect();
    try {
      await blocker.query(`begin; select from executor.agents where id = 'held' for update`);
      const held = simpleClient(url, 'held').next('&wait=5');
      const id = await delay();
      expect((await simpleClient(url, 'other').next('&wait=5')).body.id).toBe(id);
      await blocker.query('commit');
      const next = await delay();
      expect((await held).body.id).toBe(next);
    } finally {
      await blocker.query('rollback');
      blocker.release();
    }
  });

  test('an answer that its client never read goes back, too', async () => {
    const { port } = new URL(url());
    const socket = connectSocket({ host: '127.0.0.1', port: Number(port) });
    socket.pause();
    socket.write('GET /commands/next?agentId=deaf&wait=30 HTTP/1.1\r\nHost: x\r\n\r\n');
    await untilWaiting(1);
    const id = await delay();
    await vi.waitFor(async () =>
      expect(await row(database(), id)).toMatchObject({ status: 'RUNNING' }),
    );
    socket.resetAndDestroy();
    await vi.waitFor(async () =>
      expect(await row(database(), id)).toMatchObject({ status: 'PENDING', attempt: 1 }),
    );
  });

  test('the server lets go of all who wait when it stops', async () => {
    const stopping = await startServer(database());
    const polled = simpleClient(() => stopping.url, 'held').next('&wait=60');
    await untilWaiting(1);
    await stopping[Symbol.asyncDispose]();
    expect((await polled).status).toBe(204);
  });

  test('a wake-up that was lost costs no more than the time to the next sign of life', async () => {
    await query(`update executor.queues set paused_at = now()`);
    const polled = simpleClient(url, 'asleep').next('&wait=30');
    await untilWaiting(1);
    const id = await delay();
    // By hand, which tells nobody.
    await query(`update executor.queues set paused_at = null`);
    expect((await polled).body.id).toBe(id);
  });

  test('who waits gives signs of life, and nothing else is sent', async () => {
    const polled = simpleClient(url, 'idle').next('&wait=30');
    await untilWaiting(1);
    await query(`update executor.agents set beat_clock = beat_clock - 3600000`);
    const age = async () =>
      (
        await query(
          `select executor.observed_ms() - beat_clock < 60000 as fresh from executor.agents`,
        )
      )[0];
    await vi.waitFor(async () => expect(await age()).toEqual({ fresh: true }), { timeout: 10_000 });
    const id = await delay();
    expect((await polled).body.id).toBe(id);
  });
});

describe('agents with a session', () => {
  test('register, claim several, report them together', async () => {
    const agent = await sessionClient(url, { agentId: 'S', concurrency: 5 });
    expect(agent.registered).toEqual({
      agentId: 'S',
      session: agent.session,
      intervalMs: 5_000,
      lostAfterMs: 15_000,
      takenBack: 0,
    });
    const ids = [await delay(), await delay(), await delay()];
    const { body } = await agent.claim({ limit: 2 });
    expect(body.map(({ id }) => id)).toEqual(expect.arrayContaining(ids.slice(0, 2)));
    const reports = body.map(({ id, attempt }) => ({
      id,
      attempt,
      outcome: 'completed',
      result: DELAY_RESULT,
    }));
    expect((await agent.say('results', { reports })).body).toEqual({
      answers: ['accepted', 'accepted'],
    });
    // The same again is the same.
    expect((await agent.say('results', { reports })).body).toEqual({
      answers: ['accepted', 'accepted'],
    });
    const other = reports.map((report) => ({ ...report, result: { ok: true, tookMs: 2 } }));
    expect((await agent.say('results', { reports: other })).body).toEqual({
      answers: ['stale', 'stale'],
    });
  });

  test('a claim whose reply was lost goes back at the next beat', async () => {
    const agent = await sessionClient(url);
    const id = await delay();
    await agent.claim();
    expect((await agent.say('beat', { running: [], settledClaimNo: 0 })).status).toBe(200);
    expect(await row(database(), id)).toMatchObject({ status: 'RUNNING' });
    await agent.say('beat', { running: [], settledClaimNo: 1 });
    expect(await row(database(), id)).toMatchObject({ status: 'PENDING', attempt: 1 });
  });

  test('a held beat is answered as soon as somebody cancels what it runs', async () => {
    const agent = await sessionClient(url);
    const id = await delay();
    const [claimed] = (await agent.claim()).body;
    const running = [{ id, attempt: claimed?.attempt }];
    const held = agent.say('beat', { running, settledClaimNo: 1, wait: 30 });
    const cancelled = await send(url(), 'POST', `/commands/${id}/cancel`);
    expect(cancelled.status).toBe(202);
    expect((await held).body).toMatchObject({ cancelled: [id], revoked: [] });
    // It was told: it is held until there is news.
    const again = await agent.say('beat', { running, settledClaimNo: 1, wait: 1 });
    expect(again.body).toMatchObject({ cancelled: [id] });
    const error = { message: 'cancelled' };
    const answer = await send(url(), 'PUT', `/commands/${id}/result`, {
      agentId: agent.agentId,
      session: agent.session,
      attempt: 1,
      outcome: 'cancelled',
      error,
    });
    expect(answer.status).toBe(200);
    expect(await row(database(), id)).toMatchObject({ status: 'CANCELLED' });
  });

  test('gives back, signs off, and is unknown from then on', async () => {
    const agent = await sessionClient(url);
    const ids = [await delay(), await delay()];
    const claims = (await agent.claim({ limit: 2 })).body.map(({ id, attempt }) => ({
      id,
      attempt,
    }));
    expect((await agent.say('release', { claims: claims.slice(0, 1) })).body).toEqual({
      answers: ['accepted'],
    });
    expect((await agent.say('sign-off')).status).toBe(204);
    for (const id of ids)
      expect(await row(database(), id)).toMatchObject({ status: 'PENDING', losses: 0 });
    expect(await agent.claim()).toMatchObject({ status: 404, body: { code: 'unknown_agent' } });
  });

  test('a newer session supersedes the older', async () => {
    const older = await sessionClient(url, { agentId: 'same' });
    const id = await delay();
    await older.claim();
    const newer = await sessionClient(url, { agentId: 'same' });
    expect(newer.registered['takenBack']).toBe(1);
    const beat = await older.say('beat', { running: [{ id, attempt: 1 }], settledClaimNo: 1 });
    expect(beat).toMatchObject({ status: 409, body: { code: 'superseded' } });
    expect(await older.claim()).toMatchObject({ status: 409, body: { code: 'superseded' } });
  });

  test('who is not registered is told so', async () => {
    const session = randomUUID();
    const beat = await send(url(), 'POST', '/agents/nobody/beat', { session, running: [] });
    expect(beat).toMatchObject({ status: 404, body: { code: 'unknown_agent' } });
    const claim = await send(url(), 'POST', '/commands/claim', { agentId: 'nobody', session });
    expect(claim).toMatchObject({ status: 404, body: { code: 'unknown_agent' } });
  });

  test('progress and lines are kept', async () => {
    const agent = await sessionClient(url);
    const id = await delay();
    await agent.claim();
    const reports = [
      { id, attempt: 1, progress: 0.5, message: 'half', lines: [{ no: 1, line: 'hello' }] },
    ];
    expect((await agent.say('progress', { reports })).body).toEqual({ answers: ['accepted'] });
    const { body } = await send(url(), 'GET', `/commands/${id}`);
    expect(body['progress']).toMatchObject({ value: 0.5, message: 'half' });
  });

  test('brings types of its own, which are validated from then on', async () => {
    const contracts = [
      {
        type: 'SQUARE',
        description: 'Squares a number.',
        payloadSchema: {
          type: 'object',
          properties: { n: { type: 'number' } },
          required: ['n'],
          additionalProperties: false,
        },
        resultSchema: {
          type: 'object',
          properties: { n: { type: 'number' } },
          required: ['n'],
        },
      },
    ];
    const agent = await sessionClient(url, { types: ['SQUARE'], contracts });
    expect((await post(url(), { type: 'SQUARE', payload: { n: 'x' } })).status).toBe(400);
    const id = await submit(url(), 'SQUARE', { n: 3 });
    expect((await agent.claim()).body).toMatchObject([{ id, payload: { n: 3 } }]);
    const reports = [{ id, attempt: 1, outcome: 'completed', result: { m: 9 } }];
    expect((await agent.say('results', { reports })).body).toEqual({ answers: ['accepted'] });
    expect(await row(database(), id)).toMatchObject({
      status: 'FAILED',
      error: { code: 'invalid_result', message: '#/result/n: missing' },
    });
  });

  test.each<[string, object, number, string]>([
    ['an id of 65 characters', { agentId: 'x'.repeat(65) }, 400, '#/agentId'],
    ['an id with a quote', { agentId: `a'b` }, 400, '#/agentId'],
    ['no concurrency', { concurrency: 0 }, 400, '#/concurrency'],
    ['a queue with a NUL', { queues: ['a\0'] }, 400, '#'],
    ['a queue twice', { queues: ['a', 'a'] }, 400, '#/queues/1'],
    ['a type with a space', { types: ['A B'] }, 400, '#/types/0'],
    ['a session that is no UUID', { session: 'x' }, 400, '#/session'],
    [
      'a schema that is none',
      { contracts: [{ type: 'T', payloadSchema: { type: 'nonsense' } }] },
      400,
      '#/contracts/0/payloadSchema',
    ],
    [
      'another contract for a type that is built in',
      { contracts: [{ type: 'DELAY', payloadSchema: {} }] },
      409,
      '#/contracts/0/type',
    ],
    ['a member that nobody knows', { colour: 'red' }, 400, '#/colour'],
  ])('is refused with %s', async (_what, registration, status, pointer) => {
    const answer = await send(url(), 'POST', '/agents', registration);
    expect(answer.status).toBe(status);
    expect((answer.body['errors'] as { pointer: string }[])[0]?.pointer).toMatch(
      new RegExp(`^${pointer}`),
    );
    expect(await query('select from executor.agents')).toEqual([]);
  });
});

test.each([
  ['agentId=a%27b', '#/query/agentId'],
  ['agentId=%00', '#/query/agentId'],
  [`agentId=${'x'.repeat(65)}`, '#/query/agentId'],
  ['agentId=a&queues=', '#/query/queues/0'],
  ['agentId=a&queues=a,a', '#/query/queues/1'],
  ['agentId=a&types=A%00', '#/query/types/0'],
  [`agentId=a&types=${'x'.repeat(65)}`, '#/query/types/0'],
  ['agentId=a&wait=-1', '#/query/wait'],
  ['agentId=a&wait=61', '#/query/wait'],
  ['agentId=a&wait=1e1', '#/query/wait'],
  ['agentId=a&session=x', '#/query/session'],
  ['agentId=a&colour=red', '#/query/colour'],
  ['agentId=a&agentId=b', '#/query/agentId'],
])('GET /commands/next?%s is refused', async (querystring, pointer) => {
  const { status, body } = await send(url(), 'GET', `/commands/next?${querystring}`);
  expect(status).toBe(400);
  expect(body).toMatchObject({ errors: [{ pointer }] });
  expect(await query('select from executor.agents')).toEqual([]);
});

// Each row: what is wrong, the bytes of the result, the pointer.
const results: [string, string, string][] = [
  ['nested 521 deep', '['.repeat(520) + ']'.repeat(520), `#/result${'/0'.repeat(519)}`],
  ['with NUL in text', '{"a":["\\u0000"]}', '#/result/a/0'],
  ['with NUL in a name', '{"a\\u0000":1}', '#/result/a%00'],
  ['with half a surrogate pair', '"\\ud800"', '#/result'],
  ['with __proto__', '{"__proto__":1}', '#/result/__proto__'],
  ['with a number beyond range', '[1e400]', '#/result/0'],
];

/** The attempt goes on, and a good result is taken. */
async function expectGoodResult(id: string, agentId: string): Promise<void> {
  expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
  const { status } = await simpleClient(url, agentId).report(id, { result: DELAY_RESULT });
  expect(status).toBe(200);
}

/** Puts a result as it stands. */
function putResult(id: string, body: string): Promise<Response> {
  const headers = { 'Content-Type': 'application/json' };
  return fetch(`${url()}/commands/${id}/result`, { method: 'PUT', headers, body });
}

describe('results that cannot be taken in leave the attempt as it is', () => {
  test.each(results)('%s', async (_, result, pointer) => {
    const id = await delay();
    await simpleClient(url, 'X').next();
    const response = await putResult(id, `{"agentId":"X","result":${result}}`);
    const problem = await expectProblem(response, 400);
    expect(problem).toMatchObject({ code: 'unacceptable_json', errors: [{ pointer }] });
    await expectGoodResult(id, 'X');
  });

  test('of nine megabytes', async () => {
    const id = await delay();
    await simpleClient(url, 'X').next();
    const body = JSON.stringify({ agentId: 'X', result: 'x'.repeat(9 * 1024 * 1024) });
    const problem = await expectProblem(await putResult(id, body), 413);
    expect(problem).toMatchObject({ code: 'body_too_large', errors: [{ pointer: '#' }] });
    await expectGoodResult(id, 'X');
  });

  test('among others, which are not taken in then either', async () => {
    const agent = await sessionClient(url);
    const ids = [await delay(), await delay()];
    await agent.claim({ limit: 2 });
    const reports = ids.map((id) => ({ id, attempt: 1, outcome: 'completed', result: '\0' }));
    reports[0]!.result = 'fine';
    const answer = await agent.say('results', { reports });
    expect(answer).toMatchObject({ status: 400, body: { code: 'unacceptable_json' } });
    expect(answer.body['errors']).toMatchObject([{ pointer: '#/reports/1/result' }]);
    for (const id of ids) await expectGoodResult(id, agent.agentId);
  });
});

describe('results of what has ended', () => {
  const error = { message: 'no luck', retryable: false };
  const endings: [string, object, object][] = [
    ['COMPLETED', { result: DELAY_RESULT }, { result: { ok: true, tookMs: 2 } }],
    ['FAILED', { error }, { error: { ...error, message: 'other words' } }],
    ['CANCELLED', { outcome: 'cancelled', error }, { error }],
  ];

  test.each(endings)('%s: the same again is the same, another is refused', async (...ending) => {
    const [status, report, other] = ending;
    const { agentId, session, ...agent } = await sessionClient(url);
    const id = await delay();
    await agent.claim();
    if (status === 'CANCELLED') await send(url(), 'POST', `/commands/${id}/cancel`);
    const put = (from: object) => send(url(), 'PUT', `/commands/${id}/result`, from);
    const whole = { agentId, session, attempt: 1 };
    for (let i = 0; i < 2; i += 1)
      expect(await put({ ...whole, ...report })).toMatchObject({ status: 200 });
    for (const late of [other, { result: { ok: true, tookMs: 3 } }])
      expect(await put({ ...whole, ...late })).toMatchObject({
        status: 409,
        body: { code: 'not_owner', errors: [{ pointer: '#/path/id' }] },
      });
    // Who says neither attempt nor session means the attempt that runs, and none does.
    expect(await put({ agentId, ...report })).toMatchObject({ status: 409 });
    expect(await row(database(), id)).toMatchObject({ status, attempt: 1 });
  });

  test('of two that contradict each other at once, one counts and one is refused', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => delay()));
    await send(url(), 'POST', '/commands/claim', { agentId: 'X', limit: 20 });
    // Those that come while the first one's statement is in flight share the next one.
    const sent = ids.flatMap((id) =>
      [1, 2].map((tookMs) => ({ id, result: { ok: true, tookMs } })),
    );
    const answers = await Promise.all(
      sent.map(({ id, result }) => simpleClient(url, 'X').report(id, { attempt: 1, result })),
    );
    const taken = sent.filter((_, i) => answers[i]?.status === 200);
    expect(taken.map(({ id }) => id).sort()).toEqual(ids.toSorted());
    for (const { id, result } of taken) expect(await row(database(), id)).toMatchObject({ result });
  });
});

describe('what a session says of what is not its own', () => {
  test('changes nothing', async () => {
    const owner = await sessionClient(url);
    const other = await sessionClient(url);
    const id = await delay();
    await owner.claim();
    const unknown = randomUUID();
    const claims = [id, unknown].map((of) => ({ id: of, attempt: 1 }));
    const say = (verb: string, reports: object) => other.say(verb, reports);
    const failed = { outcome: 'failed', error: { message: 'no' } };
    const reports = claims.map((claim) => ({ ...claim, ...failed }));
    expect((await say('results', { reports })).body).toEqual({ answers: ['stale', 'unknown'] });
    expect((await say('release', { claims })).body).toEqual({ answers: ['stale', 'unknown'] });
    expect((await say('progress', { reports: claims })).body).toEqual({
      answers: ['stale', 'stale'],
    });
    const beat = await say('beat', { running: claims, settledClaimNo: Number.MAX_SAFE_INTEGER });
    expect(beat.body).toMatchObject({ revoked: [id, unknown], cancelled: [] });
    // Another attempt than the one that runs.
    const later = [{ id, attempt: 2 }];
    expect((await owner.say('release', { claims: later })).body).toEqual({ answers: ['stale'] });
    expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
  });

  test('a goodbye may be said twice, and by nobody', async () => {
    const agent = await sessionClient(url);
    for (let i = 0; i < 2; i += 1) expect((await agent.say('sign-off')).status).toBe(204);
    const session = randomUUID();
    expect((await send(url(), 'POST', '/agents/nobody/sign-off', { session })).status).toBe(204);
  });

  test.each(['%00', "a'b", 'a%22b', '%C3%A9', '%F0%9F%A6%86', 'x'.repeat(65), '%'])(
    '/agents/%s is nobody’s',
    async (id) => {
      const session = randomUUID();
      const bodies = {
        beat: { running: [] },
        results: { reports: [] },
        progress: { reports: [] },
        release: { claims: [] },
        'sign-off': {},
      };
      for (const [verb, body] of Object.entries(bodies)) {
        const answer = await send(url(), 'POST', `/agents/${id}/${verb}`, { session, ...body });
        expect(answer).toMatchObject({ status: 404, body: { errors: [{ pointer: '#/path/id' }] } });
      }
    },
  );

  test('an id of 64 characters is one', async () => {
    const agentId = 'x'.repeat(64);
    const id = await delay();
    expect((await simpleClient(url, agentId).next()).body).toMatchObject({ id, agentId });
  });
});

const ONE = { id: '0198a0de-0000-7000-8000-000000000001', attempt: 1 };
const FAILED = { ...ONE, outcome: 'failed', error: { message: 'no' } };
const IN_CAPITALS = { ...ONE, id: ONE.id.toUpperCase() };
const SQUARE = { type: 'SQUARE', payloadSchema: {} };
const many = (count: number, one: object) => Array.from({ length: count }, () => one);
const lines = (...all: object[]) => ({ reports: [{ ...ONE, lines: all }] });

test.each<[string, string, object, string]>([
  ['claimNo 2^53', '/commands/claim', { agentId: 'A', claimNo: 2 ** 53 }, '#/claimNo'],
  ['claimNo -1', '/commands/claim', { agentId: 'A', claimNo: -1 }, '#/claimNo'],
  ['claimNo 1.5', '/commands/claim', { agentId: 'A', claimNo: 1.5 }, '#/claimNo'],
  ['claimNo as text', '/commands/claim', { agentId: 'A', claimNo: '1' }, '#/claimNo'],
  ['an id of an agent in other letters', '/commands/claim', { agentId: 'é' }, '#/agentId'],
  ['limit 0', '/commands/claim', { agentId: 'A', limit: 0 }, '#/limit'],
  ['limit 1001', '/commands/claim', { agentId: 'A', limit: 1_001 }, '#/limit'],
  ['wait 61', '/commands/claim', { agentId: 'A', wait: 61 }, '#/wait'],
  ['no types', '/commands/claim', { agentId: 'A', types: [] }, '#/types'],
  ['a type repeated', '/agents', { contracts: [SQUARE, SQUARE] }, '#/contracts/1/type'],
  ['101 contracts', '/agents', { contracts: many(101, SQUARE) }, '#/contracts'],
  ['settledClaimNo 2^53', 'beat', { running: [], settledClaimNo: 2 ** 53 }, '#/settledClaimNo'],
  ['no running', 'beat', {}, '#/running'],
  ['10,001 running', 'beat', { running: many(10_001, ONE) }, '#/running'],
  ['attempt 0', 'beat', { running: [{ ...ONE, attempt: 0 }] }, '#/running/0/attempt'],
  ['attempt 2^31', 'release', { claims: [{ ...ONE, attempt: 2 ** 31 }] }, '#/claims/0/attempt'],
  ['no claims', 'release', { claims: [] }, '#/claims'],
  ['an id that is none', 'release', { claims: [{ ...ONE, id: "'" }] }, '#/claims/0/id'],
  ['an attempt twice', 'results', { reports: [FAILED, FAILED] }, '#/reports/1'],
  ['one twice in capitals', 'progress', { reports: [ONE, IN_CAPITALS] }, '#/reports/1'],
  ['no outcome', 'results', { reports: [ONE] }, '#/reports/0/outcome'],
  [
    'failed without error',
    'results',
    { reports: [{ ...FAILED, error: null }] },
    '#/reports/0/error',
  ],
  ['line 0', 'progress', lines({ no: 0, line: 'x' }), '#/reports/0/lines/0/no'],
  [
    'a long line',
    'progress',
    lines({ no: 1, line: 'x'.repeat(2_001) }),
    '#/reports/0/lines/0/line',
  ],
  ['progress 1.1', 'progress', { reports: [{ ...ONE, progress: 1.1 }] }, '#/reports/0/progress'],
])('%s is refused at %s', async (_, where, body, pointer) => {
  const isSaid = !where.startsWith('/');
  const path = isSaid ? `/agents/said/${where}` : where;
  const whole = isSaid ? { session: randomUUID(), ...body } : body;
  const answer = await send(url(), 'POST', path, whole);
  expect(answer.status).toBe(400);
  const detail = expect.stringMatching(/^expected |^unknown$/);
  expect(answer.body['errors']).toEqual([{ pointer, detail }]);
  expect(await query('select from executor.agents')).toEqual([]);
});

test('lines and messages may have as many characters as the ledger keeps, of any kind', async () => {
  const agent = await sessionClient(url);
  const id = await delay();
  await agent.claim();
  const [line, message] = ['🦆'.repeat(2_000), '🦆'.repeat(500)];
  const reports = [{ id, attempt: 1, message, lines: [{ no: 1, line }] }];
  expect((await agent.say('progress', { reports })).body).toEqual({ answers: ['accepted'] });
  expect(await query('select line from executor.command_logs')).toEqual([{ line }]);
});

test('a result that is refused in words of any language fails its attempt all the same', async () => {
  // What the schema says is cut, in the middle of a character.
  const pattern = `^${'🦆'.repeat(2_000)}$`;
  for (const shift of ['', 'x']) {
    const contracts = [
      {
        type: 'DUCKS',
        // As long as an executor's may be.
        description: 'x'.repeat(10_000),
        payloadSchema: {},
        resultSchema: { type: 'string', pattern: shift + pattern },
      },
    ];
    const agent = await sessionClient(url, { types: ['DUCKS'], contracts });
    const id = await submit(url(), 'DUCKS', {});
    await agent.claim();
    const reports = [{ id, attempt: 1, outcome: 'completed', result: 'none' }];
    expect((await agent.say('results', { reports })).body).toEqual({ answers: ['accepted'] });
    expect(await row(database(), id)).toMatchObject({ error: { code: 'invalid_result' } });
  }
});
