import type { IncomingHttpHeaders, IncomingMessage, RequestListener } from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { text } from 'node:stream/consumers';
import type { ExecutorContext } from '../../../agent/executors/executor.ts';
import { createHttpRequest } from '../../../agent/executors/http-request.ts';
import { createRegistry } from '../../../agent/executors/registry.ts';
import { runExecutor } from '../../../agent/executors/run.ts';
import { executorContext } from '../../support/executor-context.ts';
import { refusedUrl, startHttpServer } from '../../support/http-server.ts';

describe('a request', () => {
  test.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'])('%s is sent', async (method) => {
    const { requests } = await send({ method });
    expect(requests).toMatchObject([{ method, body: '' }]);
  });

  test('is a GET unless it says otherwise', async () => {
    expect((await send({})).requests).toMatchObject([{ method: 'GET' }]);
  });

  test.each([
    [{ a: [1, 'ü', null] }, '{"a":[1,"ü",null]}'],
    [[], '[]'],
    [0, '0'],
    [false, 'false'],
  ])('sends %j as JSON, and says so', async (body, sent) => {
    const { requests } = await send({ method: 'POST', body });
    expect(requests).toMatchObject([
      { body: sent, headers: { 'content-type': 'application/json' } },
    ]);
  });

  test('sends a text as it is', async () => {
    const { requests } = await send({ method: 'PUT', body: '"a"\r\n😀' });
    expect(requests).toMatchObject([
      { body: '"a"\r\n😀', headers: { 'content-type': 'text/plain;charset=UTF-8' } },
    ]);
  });

  test.each([{ a: 1 }, '<a/>'])('says of %j what the command says of it', async (body) => {
    const headers = { 'Content-Type': 'application/xml' };
    const { requests } = await send({ method: 'POST', headers, body });
    expect(requests).toMatchObject([{ headers: { 'content-type': 'application/xml' } }]);
  });

  test.each([{}, { body: null }])('sends nothing for a body of %j', async (body) => {
    const { requests } = await send({ method: 'POST', ...body });
    expect(requests[0]).toMatchObject({ body: '', headers: { 'content-length': '0' } });
    expect(requests[0]!.headers).not.toHaveProperty('content-type');
  });

  test('carries the command, the attempt and the headers of the command', async () => {
    const headers = { 'X-Token': 'geheim', ACCEPT: 'text/html', 'user-agent': 'mine', empty: '' };
    const context = executorContext({ commandId: 'the-command', attempt: 3 });
    const { requests } = await send({ method: 'DELETE', headers }, { context });
    expect(requests[0]!.headers).toMatchObject({
      'x-token': 'geheim',
      accept: 'text/html',
      'user-agent': 'mine',
      empty: '',
      'idempotency-key': 'the-command',
      'agent-executor-attempt': '3',
    });
  });

  test('may carry what browsers would not let it', async () => {
    const headers = {
      cookie: 'a=b',
      origin: 'http://a',
      referer: 'http://b',
      'sec-fetch-site': 'x',
    };
    expect((await send({ headers })).requests).toMatchObject([{ headers }]);
  });
});

describe('an answer', () => {
  test('has its headers, by lower-case names', async () => {
    const { result } = await send(
      {},
      {
        handler: (_, response) => {
          response.setHeader('X-One', 'a');
          response.setHeader('Set-Cookie', ['a=1', 'b=2']);
          response.end('{"b":1}');
        },
      },
    );
    expect(result).toMatchObject({
      status: 200,
      body: { b: 1 },
      truncated: false,
      bytesReturned: 7,
      error: null,
      headers: { 'x-one': 'a', 'set-cookie': 'a=1, b=2' },
    });
  });

  test('to HEAD has no body, whatever its headers promise', async () => {
    const { result } = await send(
      { method: 'HEAD' },
      {
        handler: (_, response) => {
          response
            .writeHead(200, { 'content-encoding': 'gzip', 'content-length': '1000000' })
            .end();
        },
      },
    );
    expect(result).toMatchObject({ status: 200, body: '', bytesReturned: 0, truncated: false });
    expect(result['headers']).toMatchObject({ 'content-length': '1000000' });
  });

  test.each([204, 400, 404, 409, 500, 503])('%d is a result', async (status) => {
    const handler: RequestListener = (_, response) => response.writeHead(status).end();
    const { result } = await send({ method: 'POST', body: 1 }, { handler });
    expect(result).toMatchObject({ status, body: '', error: null });
  });

  test('is cut after 100 KB, decompressed', async () => {
    const { result } = await send({ method: 'POST' }, { handler: compressed });
    expect(result).toMatchObject({ truncated: true, bytesReturned: 102_400 });
  });

  test('that does not come is a result too', async () => {
    expect(await outcomeOf({ url: await refusedUrl(), method: 'POST', body: {} })).toEqual({
      outcome: 'completed',
      result: {
        status: 0,
        headers: {},
        body: null,
        truncated: false,
        bytesReturned: 0,
        error: expect.stringMatching(/ECONNREFUSED/) as string,
      },
    });
  });

  test('that takes too long is none', async () => {
    const { result } = await send({ method: 'POST' }, { handler: () => {}, timeoutMs: 100 });
    expect(result).toMatchObject({ status: 0, error: 'timed out after 100 ms' });
  });
});

test('an abort from outside fails the attempt', async () => {
  const stop = new AbortController();
  await using server = await startHttpServer(() => stop.abort(new Error('cancelled')));
  const context = executorContext({ signal: stop.signal });
  const outcome = await outcomeOf({ url: server.url, method: 'POST' }, { context });
  expect(outcome).toMatchObject({ outcome: 'failed', error: { message: 'cancelled' } });
  await server.idle();
});

describe('a redirect', () => {
  test.each([
    ['GET', 301, 'GET'],
    ['HEAD', 301, 'HEAD'],
    ['POST', 301, 'GET'],
    ['PUT', 301, 'PUT'],
    ['DELETE', 301, 'DELETE'],
    ['POST', 302, 'GET'],
    ['PATCH', 302, 'PATCH'],
    ['GET', 303, 'GET'],
    ['HEAD', 303, 'HEAD'],
    ['POST', 303, 'GET'],
    ['PUT', 303, 'GET'],
    ['DELETE', 303, 'GET'],
    ['POST', 307, 'POST'],
    ['DELETE', 307, 'DELETE'],
    ['POST', 308, 'POST'],
    ['PATCH', 308, 'PATCH'],
  ])('of %s by %d makes it %s, as fetch does', async (method, status, then) => {
    const hasBody = method !== 'GET' && method !== 'HEAD';
    const headers = { 'content-language': 'de', 'x-kept': 'yes' };
    const sent = { method, headers, ...(hasBody ? { body: { a: 1 } } : {}) };
    const { requests } = await send(sent, { handler: redirecting('/there', status) });
    expect(requests).toMatchObject([
      { method, url: '/' },
      { method: then, url: '/there', body: hasBody && then === method ? '{"a":1}' : '' },
    ]);
    const last = requests[1]!.headers;
    const isStripped = method !== then;
    expect(last['content-language']).toBe(isStripped ? undefined : 'de');
    expect(last['content-type']).toBe(hasBody && !isStripped ? 'application/json' : undefined);
    expect(last).toMatchObject({
      'x-kept': 'yes',
      'idempotency-key': expect.any(String) as string,
    });
  });

  test('to another origin does not carry credentials there', async () => {
    await using elsewhere = await startHttpServer((_, response) => response.end('1'));
    const headers = { Authorization: 'Bearer geheim', Cookie: 'a=b', 'x-kept': 'yes' };
    const handler = redirecting(`${elsewhere.url}/`, 307);
    const { requests } = await send({ method: 'POST', headers }, { handler });
    expect(requests[0]!.headers).toMatchObject({ authorization: 'Bearer geheim', cookie: 'a=b' });
    expect(elsewhere.requests[0]!.headers).toMatchObject({ 'x-kept': 'yes' });
    expect(elsewhere.requests[0]!.headers).not.toHaveProperty('authorization');
    expect(elsewhere.requests[0]!.headers).not.toHaveProperty('cookie');
  });

  test('to the same origin carries them', async () => {
    const headers = { Authorization: 'Bearer geheim' };
    const { requests } = await send({ headers }, { handler: redirecting('/there', 302) });
    expect(requests[1]!.headers).toMatchObject({ authorization: 'Bearer geheim' });
  });

  test('is not followed a sixth time, nor out of http', async () => {
    const loop = await send({ method: 'POST' }, { handler: redirecting('/', 308) });
    expect(loop.result).toMatchObject({ status: 0, error: 'more than 5 redirects' });
    const file = await send(
      { method: 'POST' },
      { handler: redirecting('file:///etc/passwd', 307) },
    );
    expect(file.result).toMatchObject({ status: 0, error: expect.stringMatching(/not http/) });
  });
});

/** A request as it came in. */
interface Received {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

interface Options {
  handler?: RequestListener;
  context?: ExecutorContext;
  timeoutMs?: number;
}

/** Sends a request to a server made for it. */
async function send(payload: object, { handler = greeting, ...options }: Options = {}) {
  const bodies: Promise<string>[] = [];
  await using server = await startHttpServer((request, response) => {
    bodies.push(text(request));
    handler(request, response);
  });
  const outcome = await outcomeOf({ url: `${server.url}/`, ...payload }, options);
  if (outcome.outcome === 'failed') throw new Error(outcome.error.message);
  const requests = await Promise.all(
    server.requests.map(async ({ method, url, headers }: IncomingMessage, i) => {
      const body = await bodies[i];
      return { method, url, headers, body } as Received;
    }),
  );
  return { requests, result: outcome.result as Record<string, unknown> };
}

function outcomeOf(
  payload: object,
  { context = executorContext(), timeoutMs = 10_000 }: Options = {},
) {
  const registry = createRegistry([createHttpRequest({ timeoutMs })]);
  return runExecutor(registry, { type: 'HTTP_REQUEST', payload }, context);
}

function greeting(...[, response]: Parameters<RequestListener>): void {
  response.end('"hello"');
}

function compressed(...[, response]: Parameters<RequestListener>): void {
  response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('x'.repeat(200_000)));
}

/** Redirects from `/`, and answers anywhere else. */
function redirecting(location: string, status: number): RequestListener {
  return (request, response) => {
    if (request.url === '/') response.writeHead(status, { location }).end();
    else response.end('1');
  };
}
