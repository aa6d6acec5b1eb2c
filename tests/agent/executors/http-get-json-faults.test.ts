import { gzipSync } from 'node:zlib';
import type { RequestListener, ServerResponse } from 'node:http';
import { describe, expect, test, vi } from 'vitest';
import { executorContext } from '../../support/executor-context.ts';
import {
  answer,
  endless,
  get,
  getFrom,
  MAX_SENT_BYTES,
  noAnswer,
  outcomeOf,
  sending,
} from '../../support/http-get-json.ts';
import { refusedUrl, startHttpServer } from '../../support/http-server.ts';

describe('a redirect', () => {
  test.each([301, 302, 303, 307, 308])('of %d is followed', async (status) => {
    const result = await getFrom((request, response) => {
      if (request.url === '/') redirect(response, '/there', status);
      else response.end('"here"');
    });
    expect(result).toEqual(answer(200, 'here', 6));
  });

  test('may be relative, and not only ASCII', async () => {
    await using server = await startHttpServer((request, response) => {
      if (request.url === '/a/b') redirect(response, Buffer.from('../c/ü').toString('latin1'));
      else response.end(JSON.stringify(request.url));
    });
    expect(await get(`${server.url}/a/b`)).toMatchObject({ body: '/c/%C3%BC' });
  });

  test('is followed five times', async () => {
    await using server = await startHttpServer(countdown);
    expect(await get(`${server.url}/5`)).toMatchObject({ status: 200, body: '/0' });
    expect(server.requests.length).toBe(6);
  });

  test('is not followed a sixth time', async () => {
    await using server = await startHttpServer(countdown);
    expect(await get(`${server.url}/6`)).toEqual(noAnswer('more than 5 redirects'));
    expect(server.requests.length).toBe(6);
  });

  test('to itself ends', async () => {
    const result = await getFrom((request, response) => redirect(response, request.url!));
    expect(result).toEqual(noAnswer('more than 5 redirects'));
  });

  test('carries the command as well', async () => {
    await using server = await startHttpServer(countdown);
    await get(`${server.url}/1`, { context: executorContext({ commandId: 'the-command' }) });
    expect(server.requests[1]!.headers['idempotency-key']).toBe('the-command');
  });

  test.each([
    ['file:///etc/passwd', /not http or https \(file:\)/],
    ['ftp://127.0.0.1/secret', /not http or https \(ftp:\)/],
    ['data:application/json,1', /not http or https \(data:\)/],
    ['http://', /invalid URL/],
    ['http://user:secret@127.0.0.1/', /^(?!.*secret).*credentials/],
  ])('to %s is no answer', async (location, message) => {
    const result = await getFrom((_, response) => redirect(response, location));
    expect(result).toEqual(noAnswer(message));
  });

  test('without a location is an answer', async () => {
    expect(await getFrom(sending('"x"', { status: 302 }))).toEqual(answer(302, 'x', 3));
  });

  test('with an endless or a broken body is followed all the same', async () => {
    await using server = await startHttpServer((request, response) => {
      if (request.url === '/end') {
        response.end('"end"');
      } else {
        response.writeHead(302, { location: '/end', 'content-encoding': 'gzip' });
        endless(Buffer.alloc(65_536, 'x'), response);
      }
    });
    expect(await get(server.url)).toMatchObject({ body: 'end' });
    expect(server.bytesSent()).toBeLessThan(MAX_SENT_BYTES);
  });
});

describe('no answer', () => {
  test('is a refused connection, with the reason', async () => {
    expect(await get(await refusedUrl())).toEqual(noAnswer(/ECONNREFUSED 127\.0\.0\.1:\d+/));
  });

  test('is a name that does not exist', async () => {
    expect(await get('http://does-not-exist.invalid/')).toEqual(
      noAnswer(/does-not-exist\.invalid/),
    );
  });

  test('is a connection closed before the headers', async () => {
    const result = await getFrom((request) => request.socket.destroy());
    expect(result).toEqual(noAnswer(/closed|reset|hang up/i));
  });

  test('is a connection closed in the middle of the body', async () => {
    const result = await getFrom((request, response) => {
      response.writeHead(200, { 'content-length': 100 });
      response.write('half', () => request.socket.destroy());
    });
    expect(result).toEqual(noAnswer(/closed|reset|aborted/i));
  });

  test('is what is not HTTP', async () => {
    const result = await getFrom((request) => request.socket.end('SSH-2.0-OpenSSH_9.9\r\n'));
    expect(result).toEqual(noAnswer(/./));
  });

  test('is gzip that is none', async () => {
    const handler = sending('not gzip', { headers: { 'content-encoding': 'gzip' } });
    expect(await getFrom(handler)).toEqual(noAnswer(/incorrect header check/));
  });

  test('is gzip whose checksum is wrong', async () => {
    const compressed = gzipSync('x'.repeat(1_000));
    compressed.fill(0, compressed.length - 8);
    const handler = sending(compressed, { headers: { 'content-encoding': 'gzip' } });
    expect(await getFrom(handler)).toEqual(noAnswer(/incorrect data check/));
  });

  test('is a body encoded a thousand times', async () => {
    const headers = { 'content-encoding': Array.from({ length: 1_000 }, () => 'gzip').join(',') };
    expect(await getFrom(sending('x', { headers }))).toEqual(noAnswer(/content-encoding/i));
  });

  test('is a megabyte of headers', async () => {
    const handler = sending('x', { headers: { 'x-huge': 'x'.repeat(1_048_576) } });
    expect(await getFrom(handler)).toEqual(noAnswer(/headers/i));
  });

  test('is a server that certifies nothing', async () => {
    await using server = await startHttpServer(sending('1'));
    expect(await get(server.url.replace('http:', 'https:'))).toEqual(noAnswer(/./));
  });
});

describe('an answer that takes too long is no answer', () => {
  test.each<[string, RequestListener]>([
    ['no headers', () => undefined],
    ['no body', (_, response) => response.writeHead(200).flushHeaders()],
    ['half a body', (_, response) => response.write('half')],
    ['an endless dribble', (_, response) => dribble(response)],
    [
      'an endless dribble of gzip',
      (_, response) => {
        response.setHeader('content-encoding', 'gzip');
        response.write(gzipSync('x'.repeat(1_000)).subarray(0, 12));
      },
    ],
    ['a slow redirect in a loop', (_, response) => void setTimeout(redirect, 60, response, '/')],
  ])('%s', async (_, handler) => {
    await using server = await startHttpServer(handler);
    const startedAt = performance.now();
    const result = await get(server.url, { timeoutMs: 200 });
    expect(result).toEqual(noAnswer('timed out after 200 ms'));
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    await server.idle();
  });
});

describe('an abort from outside', () => {
  test.each<[string, RequestListener]>([
    ['before the headers', () => undefined],
    ['in the body', (_, response) => response.write('half')],
    [
      'in a compressed body',
      (_, response) => {
        response.setHeader('content-encoding', 'gzip');
        response.write(gzipSync('x'.repeat(1_000)).subarray(0, 12));
      },
    ],
  ])('%s fails the attempt at once and leaves nothing open', async (_, handler) => {
    const stop = new AbortController();
    await using server = await startHttpServer((request, response) => {
      handler(request, response);
      setTimeout(() => stop.abort(new Error('cancelled')), 50);
    });
    const context = executorContext({ signal: stop.signal });
    const error = { code: 'executor_error', message: 'cancelled', retryable: true };
    expect(await outcomeOf(server.url, { context })).toEqual({ outcome: 'failed', error });
    await server.idle();
  });

  test('before the start sends nothing', async () => {
    await using server = await startHttpServer(sending('1'));
    const context = executorContext({ signal: AbortSignal.abort(new Error('cancelled')) });
    expect(await outcomeOf(server.url, { context })).toMatchObject({ outcome: 'failed' });
    expect(server.requests).toEqual([]);
  });
});

test('the timer of the total time is cleared', async () => {
  await using server = await startHttpServer(sending('1'));
  const set = vi.spyOn(globalThis, 'setTimeout');
  const clear = vi.spyOn(globalThis, 'clearTimeout');
  await get(server.url, { timeoutMs: 3_600_000 });
  const index = set.mock.calls.findIndex(([, ms]) => ms === 3_600_000);
  expect(clear).toHaveBeenCalledWith(set.mock.results[index]!.value);
  vi.restoreAllMocks();
});

function redirect(response: ServerResponse, location: string, status = 302): void {
  response.writeHead(status, { location }).end('elsewhere');
}

/** `/5` redirects to `/4`, and so on; `/0` answers. */
function countdown(...[request, response]: Parameters<RequestListener>): void {
  const left = Number(request.url!.slice(1));
  if (left > 0) redirect(response, `/${left - 1}`);
  else response.end(JSON.stringify(request.url));
}

/** A byte every 5 ms for as long as anybody listens. */
function dribble(response: ServerResponse): void {
  const timer = setInterval(() => response.write('x'), 5);
  response.on('close', () => clearInterval(timer));
}
