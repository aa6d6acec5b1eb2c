// What every answer has in common, whatever the route.

import { expect, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { sendRaw } from '../support/raw-http.ts';
import { post, startServer, submit, useServer } from '../support/server.ts';

const database = useDatabase();
const server = useServer(database);

test.each(['/', '/nope', '/command', '/commands/a/b', '/commands/%2e%2e%2f', '/health/x', '/a%00'])(
  '%s is an unknown route',
  async (path) => {
    const problem = await expectProblem(await fetch(server().url + path), 404);
    expect(problem.code).toBe(path.startsWith('/commands/%') ? 'unknown_command' : 'unknown_route');
  },
);

test.each([
  ['DELETE', '/commands', 'HEAD, GET, POST'],
  ['PUT', '/commands/1', 'HEAD, GET'],
  ['POST', '/health', 'HEAD, GET'],
])('%s %s is not allowed, and Allow says what is', async (method, path, allow) => {
  const response = await fetch(server().url + path, { method });
  expect((await expectProblem(response, 405)).code).toBe('method_not_allowed');
  const allowed = (response.headers.get('allow') ?? '').split(', ').sort();
  expect(allowed).toEqual(allow.split(', ').sort());
});

test('a method that nobody knows is 501', async () => {
  const request = 'PROPFIND /commands HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
  const answer = await sendRaw(server().url, request);
  expect(answer.status).toBe(501);
  expect(JSON.parse(answer.body)).toMatchObject({ status: 501, code: 'method_not_implemented' });
});

test('HEAD answers as GET does, without the body', async () => {
  const id = await submit(server().url, 'DELAY', { ms: 1 });
  for (const path of ['/health', '/commands', `/commands/${id}`, '/commands/nope', '/nope']) {
    const get = await fetch(server().url + path);
    const head = await fetch(server().url + path, { method: 'HEAD' });
    expect(head.status).toBe(get.status);
    expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'));
    expect(await head.text()).toBe('');
  }
});

test('a request id comes back if it is a plain one', async () => {
  expect(await idAnsweredTo('client:42.a-b_c')).toBe('client:42.a-b_c');
  for (const id of ['', 'a b', '{"level":"fatal"}', 'x'.repeat(129)])
    expect(await idAnsweredTo(id)).toMatch(/^[\da-f-]{36}$/);
});

async function idAnsweredTo(id: string): Promise<string | null> {
  const response = await fetch(`${server().url}/health`, { headers: { 'X-Request-Id': id } });
  return response.headers.get('x-request-id');
}

test('each request is one line in the log', async () => {
  await using own = await startServer(database());
  const headers = { 'X-Request-Id': 'logged-1' };
  await fetch(`${own.url}/nope?secret=1`, { headers });
  expect(own.logged).toEqual([
    expect.objectContaining({
      msg: 'request',
      method: 'GET',
      path: '/nope',
      status: 404,
      ms: expect.any(Number),
      requestId: 'logged-1',
    }),
  ]);
});

test('an unknown error is logged once, and the client learns nothing of it', async () => {
  const broken = { ...database(), kysely: undefined as never };
  await using own = await startServer(broken);
  const problem = await expectProblem(await fetch(`${own.url}/commands`), 500);
  expect(problem.code).toBe('internal_error');
  expect(JSON.stringify(problem)).not.toMatch(/undefined|TypeError|selectFrom/);
  const errors = own.logged.filter(({ level }) => level === 50);
  expect(errors).toEqual([expect.objectContaining({ requestId: problem.requestId })]);
  expect((await fetch(`${own.url}/health`)).status).toBe(200);
});

const ORIGIN = { Origin: 'https://dashboard.example' };

test('pages of any origin may call, preflight included', async () => {
  const asked = { 'Access-Control-Request-Method': 'POST' };
  const preflight = await fetch(`${server().url}/commands`, {
    method: 'OPTIONS',
    headers: { ...ORIGIN, ...asked, 'Access-Control-Request-Headers': 'content-type' },
  });
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get('access-control-allow-origin')).toBe('*');
  expect(preflight.headers.get('access-control-allow-methods')).toContain('POST');
  expect(preflight.headers.get('access-control-allow-headers')).toBe('content-type');
});

test('answers and problems alike can be read by such pages', async () => {
  const good = await post(server().url, { type: 'DELAY', payload: { ms: 1 } }, ORIGIN);
  const bad = await post(server().url, 'nope', ORIGIN);
  const lost = await fetch(`${server().url}/nope`, { headers: ORIGIN });
  const plain = await post(server().url, { type: 'DELAY', payload: { ms: 1 } });
  for (const response of [good, bad, lost, plain]) {
    expect(response.headers.get('vary')).toBe('Origin');
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    const exposed = response.headers.get('access-control-expose-headers');
    expect(exposed).toMatch(/^Location,Link,X-Request-Id,Idempotency-Replayed,/);
  }
});

test('with CORS_ORIGIN only the pages it names may', async () => {
  const corsOrigins = ['https://a.example', ORIGIN.Origin];
  await using own = await startServer(database(), { corsOrigins });
  const allowedFor = async (Origin: string) => {
    const response = await fetch(`${own.url}/commands`, { headers: { Origin } });
    return response.headers.get('access-control-allow-origin');
  };
  expect(await allowedFor(ORIGIN.Origin)).toBe(ORIGIN.Origin);
  expect(await allowedFor('https://evil.example')).toBeNull();
});
