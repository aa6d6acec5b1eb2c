// What is no request, or one that nobody can meet: a problem as well, and never a bare status line.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { listen } from '../../server/listen.ts';
import { useDatabase } from '../support/database.ts';
import type { ProblemBody } from '../support/problems.ts';
import { type RawAnswer, sendRaw } from '../support/raw-http.ts';
import { useServer } from '../support/server.ts';

const database = useDatabase();
const server = useServer(database);

const HOST = 'Host: x\r\nConnection: close\r\n';
const POST = `POST /commands HTTP/1.1\r\n${HOST}Content-Type: application/json\r\n`;

/** Expects an answer to be a whole problem whose headers say so. */
function expectRawProblem({ status, head, body }: RawAnswer, code: string): ProblemBody {
  const problem = JSON.parse(body) as ProblemBody;
  expect(problem).toMatchObject({
    type: 'about:blank',
    title: expect.stringMatching(/./),
    status,
    detail: expect.stringMatching(/^[A-Z].*\.$/),
    code,
    errors: [{ pointer: expect.stringMatching(/^#/), detail: expect.stringMatching(/./) }],
  });
  const headers = head.toLowerCase().split('\r\n');
  expect(headers).toContain('content-type: application/problem+json');
  expect(headers).toContain('x-content-type-options: nosniff');
  expect(headers).toContain('connection: close');
  expect(headers).toContain(`x-request-id: ${problem.requestId}`);
  return problem;
}

describe('bytes that are no request', () => {
  test.each([
    ['nonsense', 'nonsense\r\n\r\n'],
    ['a TLS hello', Buffer.from('1603010200010001fc0303', 'hex')],
    ['an unknown method', `BREW /commands HTTP/1.1\r\n${HOST}\r\n`],
    ['an unknown version', `GET /health HTTP/7.1\r\n${HOST}\r\n`],
    ['HTTP/2 without being asked', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['a header without a colon', `GET /health HTTP/1.1\r\n${HOST}nonsense\r\n\r\n`],
    ['a header with a NUL', `GET /health HTTP/1.1\r\n${HOST}X-A: \0\r\n\r\n`],
    ['two lengths', `${POST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}`],
    ['a length and chunks', `${POST}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}`],
    ['a length that is no number', `${POST}Content-Length: two\r\n\r\n{}`],
    ['a chunk without a length', `${POST}Transfer-Encoding: chunked\r\n\r\nzz\r\n`],
  ])('%s: 400', async (_, bytes) => {
    const answer = await sendRaw(server().url, bytes);
    expect(answer.status).toBe(400);
    expectRawProblem(answer, 'malformed_request');
  });

  test('headers that are too large: 431, also for a client that goes on sending', async () => {
    const many = `X-A: ${'a'.repeat(1_000)}\r\n`.repeat(500);
    const answer = await sendRaw(server().url, `GET /health HTTP/1.1\r\n${HOST}${many}\r\n`);
    expect(answer.status).toBe(431);
    expectRawProblem(answer, 'headers_too_large');
  });

  test('chunk extensions that are too large: 413', async () => {
    const chunk = `1;${'a'.repeat(20_000)}\r\n{\r\n0\r\n\r\n`;
    const answer = await sendRaw(server().url, `${POST}Transfer-Encoding: chunked\r\n\r\n${chunk}`);
    expect(answer.status).toBe(413);
    expectRawProblem(answer, 'body_too_large');
  });

  test('CONNECT: 501, for this is no proxy', async () => {
    const answer = await sendRaw(server().url, `CONNECT example.org:443 HTTP/1.1\r\n${HOST}\r\n`);
    expect(answer.status).toBe(501);
    expectRawProblem(answer, 'method_not_implemented');
  });

  test('nonsense after a request does not take its answer away', async () => {
    const good = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n';
    const answer = await sendRaw(server().url, `${good}nonsense\r\n\r\n`);
    expect(answer.status).toBe(200);
    expect(answer.body).toBe('{"status":"ok"}');
  });

  test('many clients that talk nonsense and hang up leave the server as it was', async () => {
    const sockets: Socket[] = [];
    const { hostname, port } = new URL(server().url);
    for (let i = 0; i < 50; i += 1) {
      const socket = connect(Number(port), hostname).on('error', () => {});
      socket.write('GET / HTTP/1.1\r\nnonsense\r\n\r\n', () => socket.resetAndDestroy());
      sockets.push(socket);
    }
    for (const socket of sockets) if (!socket.closed) await once(socket, 'close');
    expect((await fetch(`${server().url}/health`)).status).toBe(200);
    expect(server().logged.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });
});

describe('requests that are too slow: 408', () => {
  test.each([
    ['in their headers', 'POST /commands HTTP/1.1\r\nHost: x\r\n'],
    ['in their body', `${POST}Content-Length: 2\r\n\r\n{`],
  ])('%s', async (_, bytes) => {
    let seen = 0;
    const patience = { requestMs: 150, headersMs: 100, checkEveryMs: 50 };
    const own = await listen(
      async (request) => {
        seen += 1;
        await text(request).catch(() => {});
      },
      { host: '127.0.0.1', port: 0, patience },
    );
    const answer = await sendRaw(own.url, bytes);
    expect(answer.status).toBe(408);
    expectRawProblem(answer, 'request_timeout');
    expect(seen).toBe(bytes.endsWith('{') ? 1 : 0);
    await own.stop(1_000);
  });

  test('a connection that says nothing is closed', async () => {
    const patience = { requestMs: 150, headersMs: 100, checkEveryMs: 50 };
    const own = await listen(async () => {}, { host: '127.0.0.1', port: 0, patience });
    const { hostname, port } = new URL(own.url);
    const socket = connect(Number(port), hostname);
    expect((await text(socket)).split('\r\n')[0]).toMatch(/^(HTTP\/1.1 408 Request Timeout)?$/);
    await own.stop(1_000);
  });
});

describe('requests that HTTP does not allow', () => {
  test('without a Host: 400', async () => {
    const answer = await sendRaw(server().url, 'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n');
    expect(answer.status).toBe(400);
    const problem = expectRawProblem(answer, 'missing_host');
    expect(problem).toMatchObject({ instance: '/health', errors: [{ pointer: '#/header/host' }] });
  });

  test('HTTP/1.0 needs none', async () => {
    const answer = await sendRaw(server().url, 'GET /health HTTP/1.0\r\n\r\n');
    expect(answer.status).toBe(200);
  });

  test('an Expect that nobody meets: 417', async () => {
    const answer = await sendRaw(
      server().url,
      `${POST}Expect: 200-maybe\r\nContent-Length: 2\r\n\r\n`,
    );
    expect(answer.status).toBe(417);
    const problem = expectRawProblem(answer, 'unknown_expectation');
    expect(problem.errors).toMatchObject([{ pointer: '#/header/expect' }]);
  });

  test('Expect: 100-continue is met', async () => {
    const body = '{"type":"NOPE","payload":{}}';
    const answer = await sendRaw(
      server().url,
      `${POST}Expect: 100-Continue\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(answer.head).toBe('HTTP/1.1 100 Continue');
    expect(answer.body).toContain('"unknown_type"');
  });

  test.each(['TRACE', 'PROPFIND', 'QUERY', 'PATCH', 'DELETE'])(
    '%s: 405 with Allow, or 501',
    async (method) => {
      const answer = await sendRaw(server().url, `${method} /commands HTTP/1.1\r\n${HOST}\r\n`);
      const isKnown = method === 'PATCH' || method === 'DELETE';
      expect(answer.status).toBe(isKnown ? 405 : 501);
      expectRawProblem(answer, isKnown ? 'method_not_allowed' : 'method_not_implemented');
      expect(/^allow: .*GET/im.test(answer.head)).toBe(true);
    },
  );

  test('an offer of another protocol is not taken up', async () => {
    const upgrade = 'Connection: Upgrade, close\r\nUpgrade: h2c\r\n';
    const answer = await sendRaw(server().url, `GET /health HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`);
    expect(answer.status).toBe(200);
  });
});

describe('OPTIONS', () => {
  test('says what an address knows', async () => {
    const response = await fetch(`${server().url}/commands`, { method: 'OPTIONS' });
    expect(response.ok).toBe(true);
    expect(response.headers.get('allow')?.split(', ').sort()).toEqual(['GET', 'HEAD', 'POST']);
    expect(await response.text()).toBe('');
  });

  test('of the server as a whole is 204', async () => {
    const answer = await sendRaw(server().url, `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`);
    expect(answer.status).toBe(204);
  });

  test('of an unknown address is 404', async () => {
    const response = await fetch(`${server().url}/nope`, { method: 'OPTIONS' });
    expect(response.status).toBe(404);
  });
});

test('every answer tells browsers to take it as what it says it is', async () => {
  for (const path of ['/health', '/commands', '/nope', '/commands/nope']) {
    const { headers } = await fetch(server().url + path);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('referrer-policy')).toBe('no-referrer');
  }
});
