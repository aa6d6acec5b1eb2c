// Agents over HTTP with a session: registering, claiming, beating, reporting, leaving.

import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { useAgentsApi } from '../support/agents-api.ts';
import { DELAY_RESULT, send, sessionClient, simpleClient } from '../support/client.ts';
import { post, submit } from '../support/server.ts';
import { row } from '../support/session.ts';

const { database, url, delay, query } = useAgentsApi();

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

  test('gives back what it has not started, which may then be repeated whatever its delivery', async () => {
    const agent = await sessionClient(url);
    const ids = await Promise.all(
      [1, 2].map(async () => {
        const command = { type: 'DELAY', payload: { ms: 0 }, delivery: 'at_most_once' };
        return ((await (await post(url(), command)).json()) as { commandId: string }).commandId;
      }),
    );
    await agent.claim({ limit: 2 });
    const [untouched, touched] = ids.map((id) => ({ id, attempt: 1 }));
    const claims = [{ ...untouched, started: false }, touched];
    expect((await agent.say('release', { claims })).body).toEqual({
      answers: ['accepted', 'accepted'],
    });
    expect(await row(database(), ids[0])).toMatchObject({ status: 'PENDING', losses: 0 });
    expect(await row(database(), ids[1])).toMatchObject({ status: 'FAILED' });
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
