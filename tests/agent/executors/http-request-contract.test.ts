import { describe, test } from 'vitest';
import { httpRequest } from '../../../agent/executors/http-request.ts';
import { expectPayload } from '../../support/contract.ts';

const URL_ = 'http://example.com/';

describe('the published schema and the executor agree on', () => {
  test.each<[unknown, boolean]>([
    [{ url: URL_ }, true],
    [{ url: URL_, method: 'POST' }, true],
    [{ url: URL_, method: 'POST', headers: {}, body: {} }, true],
    [{ url: URL_, method: 'DELETE', body: 'text' }, true],
    [{ url: URL_, method: 'GET', body: null }, true],
    [{ url: URL_, body: null }, true],
    [{}, false],
    [{ method: 'GET' }, false],
    [{ url: 'ftp://example.com' }, false],
    [{ url: 'http://user:secret@example.com' }, false],
    [{ url: URL_, method: 'post' }, false],
    [{ url: URL_, method: 'OPTIONS' }, false],
    [{ url: URL_, method: 'CONNECT' }, false],
    [{ url: URL_, method: 'TRACE' }, false],
    [{ url: URL_, method: 'GET /\r\nX: y' }, false],
    [{ url: URL_, method: null }, false],
    [{ url: URL_, method: 'GET', body: 'text' }, false],
    [{ url: URL_, method: 'HEAD', body: {} }, false],
    [{ url: URL_, body: 0 }, false],
    [{ url: URL_, timeout: 5 }, false],
    [{ url: URL_, headers: null }, false],
    [{ url: URL_, headers: ['a'] }, false],
    [null, false],
  ])('%j: %j', (payload, accepted) => expectPayload(httpRequest, payload, accepted));

  test.each<[Record<string, unknown>, boolean]>([
    [{ 'x-a': '' }, true],
    [{ "!#$%&'*+-.^_`|~aZ0": ' a\tb ' }, true],
    [{ 'x-a': '\u00e9~' }, true],
    [{ Hosts: 'a', 'te-x': 'b', 'x-host': 'c' }, true],
    [{ authorization: 'Bearer x' }, true],
    [{ '': 'a' }, false],
    [{ 'x a': 'a' }, false],
    [{ 'x:': 'a' }, false],
    [{ 'x\r\nHost': 'a' }, false],
    [{ 'x\n': 'a' }, false],
    [{ ü: 'a' }, false],
    [{ [`x${'y'.repeat(128)}`]: 'a' }, false],
    [{ 'x-a': 'a\r\nHost: b' }, false],
    [{ 'x-a': 'a\n' }, false],
    [{ 'x-a': 'a\0' }, false],
    [{ 'x-a': 'a\u007f' }, false],
    [{ 'x-a': '\u20ac' }, false],
    [{ 'x-a': 'a'.repeat(8_193) }, false],
    [{ 'x-a': 1 }, false],
    [{ 'x-a': null }, false],
    [{ 'x-a': ['a'] }, false],
    [many(64), true],
    [many(65), false],
  ])('headers %j: %j', (headers, accepted) =>
    expectPayload(httpRequest, { url: URL_, headers }, accepted),
  );

  test.each([
    'Host',
    'CONTENT-LENGTH',
    'Content-length',
    'transfer-encoding',
    'Connection',
    'keep-alive',
    'Proxy-Authorization',
    'proxy-authenticate',
    'proxy-connection',
    'Sec-Fetch-Mode',
    'TE',
    'te',
    'Trailer',
    'Upgrade',
    'Expect',
    'Idempotency-Key',
    'agent-executor-ATTEMPT',
  ])('no header %s', (name) => {
    expectPayload(httpRequest, { url: URL_, headers: { [name]: 'x' } }, false);
  });
});

function many(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, '']));
}
