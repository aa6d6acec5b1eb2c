// Whatever a client sends: a 4xx problem that says what and where, nothing written, and the server
// goes on.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { sendRaw } from '../support/raw-http.ts';
import { post, submit, useServer } from '../support/server.ts';

const database = useDatabase();
const server = useServer(database);

let before: number;
beforeEach(async () => {
  before = await countCommands();
});
afterEach(async () => {
  assert.equal(await countCommands(), before);
  await submit(server().url, 'DELAY', { ms: 1 });
});

async function countCommands(): Promise<number> {
  const { rows } = await database().pool.query('select count(*)::int as n from executor.commands');
  return rows[0].n;
}

const delay = (ms: unknown) => ({ type: 'DELAY', payload: { ms } });
const get = (url: unknown) => ({ type: 'HTTP_GET_JSON', payload: { url } });
const opt = (options: object) => ({ ...delay(1), ...options });
const THIRTY_DAYS_MS = 2_592_000_000;
const raw = (payload: string) => `{"type":"DELAY","payload":${payload}}`;
const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
const long = 'x'.repeat(1024 * 1024);

// Each row: what is wrong, the body, the code, the pointer.
const bodies: [string, unknown, string, string][] = [
  ['an unknown type', { type: 'NOPE', payload: {} }, 'unknown_type', '#/type'],
  ['an empty type', { type: '', payload: {} }, 'unknown_type', '#/type'],
  ['a type with NUL and quotes', { type: `'"\u0001`, payload: {} }, 'unknown_type', '#/type'],
  ['a type that is an object', { type: {}, payload: {} }, 'invalid_command', '#/type'],
  ['a missing type', { payload: {} }, 'invalid_command', '#/type'],
  ['a missing payload', { type: 'DELAY' }, 'invalid_payload', '#/payload'],
  ['a payload that is null', { type: 'DELAY', payload: null }, 'invalid_payload', '#/payload'],
  ['a payload that is an array', { type: 'DELAY', payload: [] }, 'invalid_payload', '#/payload'],
  ['a payload that is text', { type: 'DELAY', payload: 'ms' }, 'invalid_payload', '#/payload'],
  ['an unknown member', { ...delay(1), 'a/b c': 1 }, 'invalid_command', '#/a~1b%20c'],
  ['an unknown payload member', raw('{"ms":1,"x":2}'), 'invalid_payload', '#/payload/x'],
  ['a missing payload member', raw('{}'), 'invalid_payload', '#/payload/ms'],
  ['ms negative', delay(-1), 'invalid_payload', '#/payload/ms'],
  ['ms fractional', delay(1.5), 'invalid_payload', '#/payload/ms'],
  ['ms over seven days', delay(604_800_001), 'invalid_payload', '#/payload/ms'],
  ['ms as text', delay('5'), 'invalid_payload', '#/payload/ms'],
  ['ms null, as JSON.stringify writes NaN', delay(Number.NaN), 'invalid_payload', '#/payload/ms'],
  ['ms NaN', raw('{"ms":NaN}'), 'invalid_json', '#'],
  ['a URL that is none', get('nope'), 'invalid_payload', '#/payload/url'],
  ['a URL without a host', get('http://'), 'invalid_payload', '#/payload/url'],
  ['a URL of a file', get('file:///etc/passwd'), 'invalid_payload', '#/payload/url'],
  ['a URL with script', get('javascript:alert(1)'), 'invalid_payload', '#/payload/url'],
  ['a URL that is a number', get(1), 'invalid_payload', '#/payload/url'],
  ['malformed JSON', '{"type":', 'invalid_json', '#'],
  ['text after the JSON', `${raw('{"ms":1}')}x`, 'invalid_json', '#'],
  ['an empty body', '', 'empty_body', '#'],
  ['JSON that is no object', '[]', 'invalid_command', '#'],
  ['JSON that is null', 'null', 'invalid_command', '#'],
  ['JSON nested 65 deep', nested(65), 'unacceptable_json', `#${'/0'.repeat(64)}`],
  ['JSON nested 500,000 deep', nested(500_000), 'unacceptable_json', `#${'/0'.repeat(64)}`],
  ['a __proto__ member', '{"__proto__":{}}', 'unacceptable_json', '#/__proto__'],
  ['__proto__ in a payload', raw('{"__proto__":1}'), 'unacceptable_json', '#/payload/__proto__'],
  ['a number beyond range', raw('{"ms":1e400}'), 'unacceptable_json', '#/payload/ms'],
  ['a negative one', raw('{"ms":-1e400}'), 'unacceptable_json', '#/payload/ms'],
  ['NUL in text', raw('{"ms":"\\u0000"}'), 'unacceptable_json', '#/payload/ms'],
  ['NUL in a name', raw('{"a\\u0000":1}'), 'unacceptable_json', '#/payload/a%00'],
  ['NUL in the type', '{"type":"\\u0000"}', 'unacceptable_json', '#/type'],
  ['a lone surrogate', raw('{"ms":["\\ud800"]}'), 'unacceptable_json', '#/payload/ms/0'],
  ['one in a name', raw('{"\\udc00":1}'), 'unacceptable_json', '#/payload/%EF%BF%BD'],
];

// Each row: an option that is wrong, and the pointer.
const options: [object, string][] = [
  [{ maxAttempts: 0 }, '#/maxAttempts'],
  [{ maxAttempts: 1_001 }, '#/maxAttempts'],
  [{ maxAttempts: 1.5 }, '#/maxAttempts'],
  [{ maxAttempts: '3' }, '#/maxAttempts'],
  [{ maxAttempts: null }, '#/maxAttempts'],
  [{ backoff: null }, '#/backoff'],
  [{ backoff: [] }, '#/backoff'],
  [{ backoff: 1_000 }, '#/backoff'],
  [{ backoff: { initial: 1 } }, '#/backoff/initial'],
  [{ backoff: { initialMs: -1 } }, '#/backoff/initialMs'],
  [{ backoff: { initialMs: 0.5 } }, '#/backoff/initialMs'],
  [{ backoff: { initialMs: THIRTY_DAYS_MS + 1 } }, '#/backoff/initialMs'],
  [{ backoff: { factor: 0.99 } }, '#/backoff/factor'],
  [{ backoff: { factor: 1_001 } }, '#/backoff/factor'],
  [{ backoff: { factor: '2' } }, '#/backoff/factor'],
  [{ backoff: { maxMs: -1 } }, '#/backoff/maxMs'],
  [{ backoff: { maxMs: THIRTY_DAYS_MS + 1 } }, '#/backoff/maxMs'],
  [{ delivery: 'exactly_once' }, '#/delivery'],
  [{ delivery: null }, '#/delivery'],
  [{ timeoutMs: 0 }, '#/timeoutMs'],
  [{ timeoutMs: THIRTY_DAYS_MS + 1 }, '#/timeoutMs'],
  [{ timeoutMs: 1e300 }, '#/timeoutMs'],
  [{ delayMs: -1 }, '#/delayMs'],
  [{ delayMs: 1.5 }, '#/delayMs'],
  [{ delayMs: THIRTY_DAYS_MS + 1 }, '#/delayMs'],
  [{ delayMs: 1, runAt: '2030-01-01T00:00:00Z' }, '#/delayMs'],
  [{ runAt: '' }, '#/runAt'],
  [{ runAt: 'tomorrow' }, '#/runAt'],
  [{ runAt: 'infinity' }, '#/runAt'],
  [{ runAt: 1_900_000_000_000 }, '#/runAt'],
  [{ runAt: '2030-01-01' }, '#/runAt'],
  [{ runAt: '2030-01-01T00:00:00' }, '#/runAt'],
  [{ runAt: '2030-01-01T00:00Z' }, '#/runAt'],
  [{ runAt: '2030-02-30T00:00:00Z' }, '#/runAt'],
  [{ runAt: '2030-01-01T24:00:00Z' }, '#/runAt'],
  [{ runAt: '2030-01-01T00:00:00+15:00' }, '#/runAt'],
  [{ runAt: '2030-01-01T00:00:00+02' }, '#/runAt'],
  [{ runAt: '0000-01-01T00:00:00Z' }, '#/runAt'],
  [{ runAt: '+012030-01-01T00:00:00Z' }, '#/runAt'],
  [{ runAt: `2030-01-01T00:00:00.${'1'.repeat(10)}Z` }, '#/runAt'],
  [{ priority: -101 }, '#/priority'],
  [{ priority: 101 }, '#/priority'],
  [{ priority: 0.5 }, '#/priority'],
  [{ priority: 'high' }, '#/priority'],
  [{ maxLosses: 1 }, '#/maxLosses'],
  [{ run_at: '2030-01-01T00:00:00Z' }, '#/run_at'],
  [{ id: '0198a0de-0000-7000-8000-000000000001' }, '#/id'],
];

describe('POST /commands refuses', () => {
  test.each(bodies)('%s', async (_, body, code, pointer) => {
    const problem = await expectProblem(await post(server().url, body), 400);
    expect({ code: problem.code, pointer: problem.errors[0]?.pointer }).toEqual({ code, pointer });
  });

  test.each(options)('the option %j', async (option, pointer) => {
    const problem = await expectProblem(await post(server().url, opt(option)), 400);
    expect(problem.code).toBe('invalid_command');
    expect(problem.errors).toEqual([{ pointer, detail: expect.any(String) }]);
  });

  test('every wrong option at once', async () => {
    const wrong = opt({ maxAttempts: 0, delayMs: -1, backoff: { factor: 0, x: 1 }, y: 2 });
    const problem = await expectProblem(await post(server().url, wrong), 400);
    expect(problem.errors.map(({ pointer }) => pointer).sort()).toEqual([
      '#/backoff/factor',
      '#/backoff/x',
      '#/delayMs',
      '#/maxAttempts',
      '#/y',
    ]);
  });

  test('a body over 1 MiB, whose sender may send it all', async () => {
    const response = await post(server().url, get(`http://x/${long}`));
    expect(response.headers.get('connection')).toBe('close');
    expect(await expectProblem(response, 413)).toMatchObject({
      code: 'body_too_large',
      errors: [{ pointer: '#' }],
    });
  });

  test('a body over 1 MiB of unknown length', async () => {
    const body = new Blob([long, long]).stream();
    const init = { method: 'POST', body, duplex: 'half' } as const;
    const headers = { 'Content-Type': 'application/json' };
    const response = await fetch(`${server().url}/commands`, { ...init, headers });
    expect((await expectProblem(response, 413)).code).toBe('body_too_large');
  });

  test('but not one of exactly 1 MiB', async () => {
    const spaces = ' '.repeat(1024 * 1024 - raw('{"ms":-1}').length);
    const response = await post(server().url, raw('{"ms":-1}') + spaces);
    expect((await expectProblem(response, 400)).code).toBe('invalid_payload');
  });

  test.each([
    ['text', { 'Content-Type': 'text/plain' }, 'content-type'],
    ['a form', { 'Content-Type': 'application/x-www-form-urlencoded' }, 'content-type'],
    ['what only looks like JSON', { 'Content-Type': 'application/jsonp' }, 'content-type'],
    ['another charset', { 'Content-Type': 'application/json; charset=latin1' }, 'content-type'],
    ['compressed bodies', { 'Content-Encoding': 'gzip' }, 'content-encoding'],
  ])('%s', async (_, headers, header) => {
    const response = await post(server().url, delay(1), headers);
    expect(await expectProblem(response, 415)).toMatchObject({
      code: 'unsupported_media_type',
      errors: [{ pointer: `#/header/${header}` }],
    });
  });

  test('a body without a content type', async () => {
    const body = new TextEncoder().encode(raw('{"ms":1}'));
    const response = await fetch(`${server().url}/commands`, { method: 'POST', body });
    await expectProblem(response, 415);
  });

  test('bytes that are no UTF-8', async () => {
    const body = Buffer.from(raw('{"ms":"\xff"}'), 'latin1');
    const headers = { 'Content-Type': 'application/json' };
    const response = await fetch(`${server().url}/commands`, { method: 'POST', headers, body });
    expect((await expectProblem(response, 400)).code).toBe('invalid_utf8');
  });

  test('everything that is wrong with a payload at once', async () => {
    const problem = await expectProblem(await post(server().url, raw('{"m":1,"n":2}')), 400);
    expect(problem.errors.map(({ pointer }) => pointer).sort()).toEqual([
      '#/payload/m',
      '#/payload/ms',
      '#/payload/n',
    ]);
  });

  test('a hundred thousand unknown members, with a short answer', async () => {
    const members = Array.from({ length: 100_000 }, (_, i) => `"${i}":0`).join();
    for (const body of [`{${members}}`, raw(`{${members}}`)])
      expect((await expectProblem(await post(server().url, body), 400)).errors.length).toBeLessThan(
        21,
      );
  });
});

describe('GET /commands refuses', () => {
  test.each([
    ['limit=0', 'limit'],
    ['limit=-1', 'limit'],
    ['limit=1.5', 'limit'],
    ['limit=abc', 'limit'],
    ['limit=', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['limit=1e2', 'limit'],
    ['status=DONE', 'status'],
    ['status=pending', 'status'],
    ['status=', 'status'],
    ['type=', 'type'],
    ['type=%00', 'type'],
    ['agentId=%00', 'agentId'],
    ['color=red', 'color'],
    ['__proto__=1', '__proto__'],
    ['cursor=', 'cursor'],
    ['cursor=abc', 'cursor'],
    ['cursor=%ff', 'cursor'],
    [`cursor=${forged('2026-02-30 00:00:00+00')}`, 'cursor'],
    [`cursor=${forged('2026-01-01 24:00:00+00')}`, 'cursor'],
    [`cursor=${forged('2026-01-01 00:00:00+23')}`, 'cursor'],
    [`cursor=${forged('0000-01-01 00:00:00+00')}`, 'cursor'],
    [`cursor=${forged('infinity')}`, 'cursor'],
    [`cursor=${forged('2026-01-01 00:00:00+00', 'no-uuid')}`, 'cursor'],
  ])('%s', async (query, name) => {
    const problem = await expectProblem(await fetch(`${server().url}/commands?${query}`), 400);
    expect(problem.code).toBe('invalid_query');
    expect(problem.errors).toEqual([{ pointer: `#/query/${name}`, detail: expect.any(String) }]);
  });
});

function forged(createdAt: string, id = '0198a0de-0000-7000-8000-000000000001'): string {
  return Buffer.from(JSON.stringify([createdAt, id])).toString('base64url');
}

describe('GET /commands/:id answers 404 to', () => {
  test.each([
    'next%00',
    '1',
    '0198a0de-0000-7000-8000-000000000001',
    '0198a0de-0000-7000-8000-00000000000g',
    '{0198a0de-0000-7000-8000-000000000001}',
    '%00',
    '%ff',
    '%',
    "'%20or%201=1",
    'x'.repeat(100),
  ])('%s', async (id) => {
    const problem = await expectProblem(await fetch(`${server().url}/commands/${id}`), 404);
    expect(problem).toMatchObject({ code: 'unknown_command', errors: [{ pointer: '#/path/id' }] });
  });
});

describe('requests that fetch does not send', () => {
  test.each(['http://[', '*', '//', '/%'])('GET %s', async (target) => {
    const request = `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
    const answer = await sendRaw(server().url, request);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(answer.head).toContain('application/problem+json');
  });

  test('a body that breaks off', async () => {
    const head = 'POST /commands HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
    const answer = await sendRaw(server().url, `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`);
    expect(answer.status).toBe(400);
  });

  test('a body without an end is cut off', async () => {
    const head = 'POST /commands HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
    const chunk = `100000\r\n${long}\r\n`;
    const chunks = Array.from({ length: 20 }, () => chunk);
    const answer = await sendRaw(
      server().url,
      `${head}Transfer-Encoding: chunked\r\n\r\n`,
      ...chunks,
    );
    expect(answer.status).toBe(413);
  });
});
