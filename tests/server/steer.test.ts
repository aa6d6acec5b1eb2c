// Cancelling and retrying one command over REST.

import { beforeEach, describe, expect, test } from 'vitest';
import { v7 } from 'uuid';
import { findCommandType, publishTypes } from '../../db/command-types.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { useServer } from '../support/server.ts';
import { startSession } from '../support/session.ts';
import { answer, steering } from '../support/steering.ts';

const database = useDatabase();
const server = useServer(database);
const { send, delay, submitWith, find, failed } = steering(database, server);

beforeEach(() => emptyLedger(database()));

describe('POST /commands/:id/cancel', () => {
  test.each([
    ['without a body', undefined],
    ['with an empty object', {}],
  ])('%s cancels what waits at once', async (_, body) => {
    const id = await delay();
    const cancelled = await answer(await send(`/commands/${id}/cancel`, body));
    expect(cancelled).toMatchObject({ id, status: 'CANCELLED', attempts: [] });
    expect(cancelled).toEqual(await find(id));
  });

  test('cancels what is deferred, and what waits for a concurrency key', async () => {
    await submitWith({ concurrencyKey: 'k' });
    for (const options of [{ delayMs: 60_000 }, { concurrencyKey: 'k' }]) {
      const id = await submitWith(options);
      expect(['SCHEDULED', 'BLOCKED']).toContain((await find(id))['status']);
      const cancelled = await answer(await send(`/commands/${id}/cancel`));
      expect(cancelled['status']).toBe('CANCELLED');
    }
  });

  test('asks what runs to end, as often as it is sent', async () => {
    await using session = await startSession(database());
    const id = await delay();
    const claimed = await session.claim();
    const first = await answer(await send(`/commands/${id}/cancel`), 202);
    const asked = expect.stringMatching(/^\d{4}-/);
    expect(first).toMatchObject({ id, status: 'RUNNING', cancelRequestedAt: asked });
    const second = await answer(await send(`/commands/${id}/cancel`), 202);
    expect(second['cancelRequestedAt']).toBe(first['cancelRequestedAt']);
    await session.report(claimed, 'cancelled');
    expect((await find(id))['status']).toBe('CANCELLED');
  });

  test('is refused for what is done', async () => {
    await using session = await startSession(database());
    const completed = await delay();
    await session.complete(await session.claim());
    const cancelled = await delay();
    await send(`/commands/${cancelled}/cancel`);
    for (const id of [completed, cancelled]) {
      const problem = await expectProblem(await send(`/commands/${id}/cancel`), 409);
      expect(problem).toMatchObject({ code: 'already_done', errors: [{ pointer: '#/path/id' }] });
    }
  });
});

describe('POST /commands/:id/retry', () => {
  test('repeats a FAILED command as a new one, and leads to it', async () => {
    const id = await failed({ priority: 7, tags: ['x'] });
    for (const slash of ['', '/']) {
      const response = await send(`/commands/${id}/retry${slash}`);
      const { commandId, retryOf } = await answer(response, 201);
      expect(retryOf).toBe(id);
      const location = new URL(response.headers.get('location') ?? '', response.url);
      expect(location.href).toBe(`${server().url}/commands/${String(commandId)}`);
      expect(await find(String(commandId))).toMatchObject({
        status: 'PENDING',
        retryOf: id,
        priority: 7,
        tags: ['x'],
      });
    }
  });

  test('repeats a CANCELLED one too, whatever the case of its id', async () => {
    const id = await delay();
    await send(`/commands/${id}/cancel`);
    const { retryOf } = await answer(await send(`/commands/${id.toUpperCase()}/retry`, {}), 201);
    expect(retryOf).toBe(id);
  });

  test('is refused for what has not failed', async () => {
    await using session = await startSession(database());
    const completed = await delay();
    await session.complete(await session.claim());
    for (const id of [completed, await delay()]) {
      const problem = await expectProblem(await send(`/commands/${id}/retry`), 409);
      expect(problem).toMatchObject({ code: 'not_failed', errors: [{ pointer: '#/path/id' }] });
    }
  });

  test('is refused when its type is gone', async () => {
    const id = await failed();
    const { pool, kysely } = database();
    const type = await findCommandType(kysely, 'DELAY');
    await pool.query(`delete from executor.command_types where type = 'DELAY'`);
    try {
      const problem = await expectProblem(await send(`/commands/${id}/retry`), 409);
      expect(problem).toMatchObject({ code: 'unknown_type', errors: [{ pointer: '#/path/id' }] });
      const many = await answer(await send('/commands/retry', { ids: [id] }));
      expect(many).toMatchObject({ refused: 1, results: [{ id, answer: 'refused' }] });
    } finally {
      await publishTypes(pool, [type!]);
    }
  });
});

describe.each(['cancel', 'retry'])('POST /commands/:id/%s', (verb) => {
  test.each([v7(), 'nope', '%00', "'%20or%201=1"])('of %s is 404', async (id) => {
    const problem = await expectProblem(await send(`/commands/${id}/${verb}`), 404);
    expect(problem).toMatchObject({ code: 'unknown_command', errors: [{ pointer: '#/path/id' }] });
  });

  test.each([
    ['{"force":true}', 400, '#/force'],
    ['[]', 400, '#'],
    ['null', 400, '#'],
    ['nonsense', 400, '#'],
    ['{"__proto__":1}', 400, '#/__proto__'],
  ])('refuses the body %s', async (body, status, pointer) => {
    const id = await delay();
    const problem = await expectProblem(await send(`/commands/${id}/${verb}`, body), status);
    expect(problem.errors).toMatchObject([{ pointer }]);
    expect((await find(id))['status']).toBe('PENDING');
  });

  test('refuses text, and takes an empty body of any type', async () => {
    const id = await failed();
    const url = `${server().url}/commands/${id}/${verb}`;
    await expectProblem(await fetch(url, { method: 'POST', body: 'text' }), 415);
    const response = await fetch(url, { method: 'POST', body: '' });
    expect(response.status).toBe(verb === 'cancel' ? 409 : 201);
  });

  test('refuses a query', async () => {
    const problem = await expectProblem(await send(`/commands/${v7()}/${verb}?force=1`), 400);
    expect(problem.errors).toMatchObject([{ pointer: '#/query/force' }]);
  });

  test('is all there is to do there', async () => {
    const response = await fetch(`${server().url}/commands/${v7()}/${verb}`);
    await expectProblem(response, 405);
    expect(response.headers.get('allow')).toBe('POST');
  });
});
