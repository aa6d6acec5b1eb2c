import { createGzip, gzipSync } from 'node:zlib';
import { pipeline } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { executorContext } from '../../support/executor-context.ts';
import {
  answer,
  endless,
  get,
  getFrom,
  MAX_SENT_BYTES,
  sending,
} from '../../support/http-get-json.ts';
import { startHttpServer } from '../../support/http-server.ts';

const LIMIT = 102_400;

describe('an answer', () => {
  test('of JSON is parsed', async () => {
    const body = { list: [1, 'zwei', null], nested: { ok: true } };
    const text = JSON.stringify(body);
    expect(await getFrom(sending(text))).toEqual(answer(200, body, text.length));
  });

  test('of JSON is parsed whatever its content type says', async () => {
    const handler = sending('[1]', { headers: { 'content-type': 'text/plain' } });
    expect(await getFrom(handler)).toMatchObject({ body: [1] });
  });

  test('of text is kept as text', async () => {
    expect(await getFrom(sending('<p>grüße</p>'))).toEqual(answer(200, '<p>grüße</p>', 14));
  });

  test('that is empty is an empty text', async () => {
    expect(await getFrom(sending(''))).toEqual(answer(200, '', 0));
  });

  test('204 is an empty text', async () => {
    expect(await getFrom(sending('', { status: 204 }))).toEqual(answer(204, '', 0));
  });

  test.each([400, 404, 500, 503])('%d is a result', async (status) => {
    const handler = sending('{"no":1}', { status });
    expect(await getFrom(handler)).toEqual(answer(status, { no: 1 }, 8));
  });

  test('of gzip is decompressed, and its bytes counted after that', async () => {
    const text = JSON.stringify({ text: 'x'.repeat(1_000) });
    const headers = { 'content-encoding': 'gzip' };
    const result = await getFrom(sending(gzipSync(text), { headers }));
    expect(result).toEqual(answer(200, { text: 'x'.repeat(1_000) }, text.length));
  });

  test('with a byte order mark is parsed', async () => {
    expect(await getFrom(sending('\uFEFF{"a":1}'))).toEqual(answer(200, { a: 1 }, 10));
  });

  test('with a member called __proto__ keeps it', async () => {
    const result = await getFrom(sending('{"__proto__":{"admin":true}}'));
    expect(JSON.stringify(result['body'])).toBe('{"__proto__":{"admin":true}}');
  });
});

describe('a body of more than 100 KB', () => {
  test('is cut there and is text', async () => {
    const text = JSON.stringify('x'.repeat(LIMIT));
    const expected = { ...answer(200, text.slice(0, LIMIT), LIMIT), truncated: true };
    expect(await getFrom(sending(text))).toEqual(expected);
  });

  test('by one byte is cut', async () => {
    const result = await getFrom(sending('1'.repeat(LIMIT + 1)));
    expect(result).toMatchObject({ truncated: true, bytesReturned: LIMIT });
  });

  test('is not what exactly 100 KB are', async () => {
    const body = 'x'.repeat(LIMIT - 2);
    expect(await getFrom(sending(JSON.stringify(body)))).toEqual(answer(200, body, LIMIT));
  });

  test('loses a character that the cut would split', async () => {
    const result = await getFrom(sending(`${'x'.repeat(LIMIT - 2)}😀`));
    expect(result).toMatchObject({ truncated: true, bytesReturned: LIMIT });
    expect(result['body']).toBe('x'.repeat(LIMIT - 2));
  });

  test('is counted in bytes, not characters', async () => {
    const result = await getFrom(sending('é'.repeat(LIMIT / 2 + 1)));
    expect(result).toMatchObject({ truncated: true, bytesReturned: LIMIT });
    expect(result['body']).toBe('é'.repeat(LIMIT / 2));
  });

  test('costs no more when it is endless', async () => {
    await using server = await startHttpServer((_, response) => {
      endless(Buffer.alloc(65_536, 'x'), response);
    });
    expect(await get(server.url)).toMatchObject({ truncated: true, bytesReturned: LIMIT });
    await server.idle();
    expect(server.bytesSent()).toBeLessThan(MAX_SENT_BYTES);
  });

  test('costs no more when it is an endless gzip bomb', async () => {
    await using server = await startHttpServer((_, response) => {
      response.setHeader('content-encoding', 'gzip');
      const gzip = createGzip();
      pipeline(gzip, response, () => undefined);
      endless(Buffer.alloc(1_048_576), gzip);
    });
    const before = process.memoryUsage.rss();
    expect(await get(server.url)).toMatchObject({ truncated: true, bytesReturned: LIMIT });
    await server.idle();
    // A thousandth of what it stands for.
    expect(server.bytesSent()).toBeLessThan(MAX_SENT_BYTES);
    expect(process.memoryUsage.rss() - before).toBeLessThan(256 * 1_048_576);
  });
});

describe('what jsonb cannot hold', () => {
  test('in text becomes U+FFFD', async () => {
    expect(await getFrom(sending('a\0b'))).toEqual(answer(200, 'a\uFFFDb', 3));
  });

  test('in JSON, in strings and in keys, becomes U+FFFD', async () => {
    const text = String.raw`{"a\u0000":["\ud800x","\udc00\ud83d","\ud83d\ude00"]}`;
    const body = { 'a\uFFFD': ['\uFFFDx', '\uFFFD\uFFFD', '😀'] };
    expect(await getFrom(sending(text))).toEqual(answer(200, body, text.length));
  });

  test('as invalid UTF-8 becomes U+FFFD', async () => {
    const bytes = Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xe2, 0x82]);
    const result = await getFrom(sending(bytes));
    expect(result).toMatchObject({ truncated: false, bytesReturned: 9 });
    expect(result['body']).toBe(new TextDecoder().decode(bytes));
  });

  test.each([
    ['too deep', '['.repeat(512) + ']'.repeat(512)],
    ['far too deep', '['.repeat(51_200) + ']'.repeat(51_200)],
    ['a number beyond range', '{"a":[1e400]}'],
  ])('as JSON stays text: %s', async (_, text) => {
    expect(await getFrom(sending(text))).toEqual(answer(200, text, text.length));
  });

  test('is not JSON of 511 levels', async () => {
    const text = '['.repeat(511) + ']'.repeat(511);
    expect(await getFrom(sending(text))).toMatchObject({ body: [expect.anything()] });
  });
});

describe('a request', () => {
  test('carries the command and the attempt', async () => {
    await using server = await startHttpServer(sending('1'));
    const context = executorContext({ commandId: 'the-command', attempt: 3 });
    await get(server.url, { context });
    expect(server.requests[0]!.method).toBe('GET');
    expect(server.requests[0]!.headers).toMatchObject({
      accept: 'application/json, */*;q=0.5',
      'user-agent': 'agent-executor',
      'idempotency-key': 'the-command',
      'agent-executor-attempt': '3',
    });
  });

  test('keeps the query and not the fragment', async () => {
    await using server = await startHttpServer(sending('1'));
    await get(`${server.url}/a%20b?c=d#e`);
    expect(server.requests[0]!.url).toBe('/a%20b?c=d');
  });
});
