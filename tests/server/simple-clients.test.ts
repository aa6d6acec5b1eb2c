// Clients without a session, as the contract has them: claiming one command, reporting it.

import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { useAgentsApi } from '../support/agents-api.ts';
import { DELAY_RESULT, send, simpleClient } from '../support/client.ts';
import { submit } from '../support/server.ts';
import { row, startSession } from '../support/session.ts';

const { database, url, delay, query } = useAgentsApi();

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
