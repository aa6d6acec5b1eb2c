// What clients of the reference server rely on, replayed byte by byte over one kept connection, with the
// headers that their libraries send: requests as they write them, answers as they read them.

import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { useServer } from '../support/server.ts';

const database = useDatabase();
const server = useServer(database);

const UUID = /[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}/;

const HEADERS = [
  'Accept: application/json, text/plain, */*',
  'User-Agent: axios/1.6.2',
  'Accept-Encoding: gzip, compress, deflate, br',
  'Host: localhost:3000',
  'Connection: keep-alive',
];

let socket: Socket;

beforeEach(async () => {
  await emptyLedger(database());
  socket = connect(Number(new URL(server().url).port), '127.0.0.1');
});
afterEach(() => void socket.destroy());

interface Raw {
  statusLine: string;
  headers: Map<string, string>;
  body: string;
}

/** One character a byte, until the body is whole. */
const BYTES = 'latin1';

/** Writes a request, and reads one answer, as long as its Content-Length says. */
async function exchange(method: string, path: string, body?: string): Promise<Raw> {
  const lines = [`${method} ${path} HTTP/1.1`, ...HEADERS];
  if (body !== undefined)
    lines.push('Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`);
  socket.write(`${lines.join('\r\n')}\r\n\r\n${body ?? ''}`);
  let bytes = Buffer.alloc(0);
  for (;;) {
    const answer = parse(bytes.toString(BYTES));
    if (answer) return answer;
    bytes = Buffer.concat([bytes, await nextChunk()]);
  }
}

function nextChunk(): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  socket.once('data', resolve).once('close', () => reject(new Error('the connection was closed')));
  return promise.finally(() => socket.removeAllListeners());
}

function parse(text: string): Raw | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const body = Buffer.from(text.slice(end + 4), BYTES);
  return body.length < Number(headers.get('content-length') ?? 0)
    ? undefined
    : { statusLine, headers, body: body.toString() };
}

async function submit(body: string): Promise<string> {
  const { statusLine, body: answer } = await exchange('POST', '/commands', body);
  expect(statusLine).toBe('HTTP/1.1 201 Created');
  const [id = ''] = UUID.exec(answer) ?? [];
  expect(answer).toBe(`{"commandId":"${id}"}`);
  return id;
}

const json = ({ body }: Raw) => JSON.parse(body) as Record<string, unknown>;

test('an agent asks for health, polls, executes, reports, and polls again', async () => {
  const health = await exchange('GET', '/health');
  expect([health.statusLine, health.body]).toEqual(['HTTP/1.1 200 OK', '{"status":"ok"}']);

  const nothing = await exchange('GET', '/commands/next?agentId=agent-1');
  expect([nothing.statusLine, nothing.body]).toEqual(['HTTP/1.1 204 No Content', '']);

  const id = await submit('{"type":"DELAY","payload":{"ms":3000}}');
  const next = await exchange('GET', '/commands/next?agentId=agent-1');
  expect(next.statusLine).toBe('HTTP/1.1 200 OK');
  expect(next.headers.get('content-type')).toBe('application/json; charset=utf-8');
  expect(json(next)).toMatchObject({
    id,
    type: 'DELAY',
    payload: { ms: 3000 },
    status: 'RUNNING',
    agentId: 'agent-1',
    createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    assignedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
  });

  const result = '{"result":{"ok":true,"tookMs":3001},"agentId":"agent-1"}';
  const reported = await exchange('PUT', `/commands/${id}/result`, result);
  expect([reported.statusLine, reported.body]).toEqual(['HTTP/1.1 200 OK', '{"success":true}']);

  const done = await exchange('GET', `/commands/${id}`);
  expect(json(done)).toMatchObject({
    status: 'COMPLETED',
    result: { ok: true, tookMs: 3001 },
    agentId: 'agent-1',
  });
  const list = await exchange('GET', '/commands');
  expect(JSON.parse(list.body)).toMatchObject([
    { id, type: 'DELAY', status: 'COMPLETED', result: { ok: true, tookMs: 3001 } },
  ]);
});

test.each([
  '{"status":200,"body":{"a":[1,"\\u00e9"]},"truncated":false,"bytesReturned":292,"error":null}',
  `{"status":200,"body":"${'x'.repeat(102_400)}","truncated":true,"bytesReturned":102400,"error":null}`,
  '{"status":0,"body":null,"truncated":false,"bytesReturned":0,"error":"connect ECONNREFUSED"}',
])('a result of HTTP_GET_JSON is kept as it came', async (result) => {
  const id = await submit('{"type":"HTTP_GET_JSON","payload":{"url":"http://127.0.0.1:1/"}}');
  await exchange('GET', '/commands/next?agentId=agent-1');
  const body = `{"result":${result},"agentId":"agent-1"}`;
  expect((await exchange('PUT', `/commands/${id}/result`, body)).body).toBe('{"success":true}');
  const done = json(await exchange('GET', `/commands/${id}`));
  expect(done).toMatchObject({ status: 'COMPLETED', result: JSON.parse(result) as object });
});

test('an agent that was killed finds its command again when it polls', async () => {
  const id = await submit('{"type":"DELAY","payload":{"ms":3000}}');
  await submit('{"type":"DELAY","payload":{"ms":1}}');
  await exchange('GET', '/commands/next?agentId=agent-1');
  const again = json(await exchange('GET', '/commands/next?agentId=agent-1'));
  expect(again).toMatchObject({ id, status: 'RUNNING' });
  const result = '{"result":{"ok":true,"tookMs":0},"agentId":"agent-1"}';
  const { body } = await exchange('PUT', `/commands/${id}/result`, result);
  expect(body).toBe('{"success":true}');
});

test.each([
  ['POST', '/commands', '{"type":"NOPE","payload":{}}', 400],
  ['POST', '/commands', '{"type":"DELAY","payload":{"ms":"soon"}}', 400],
  ['POST', '/commands', '{"type":"DELAY"}', 400],
  ['GET', '/commands/next', undefined, 400],
  ['GET', '/commands/no-uuid', undefined, 404],
  ['GET', '/commands/0198a0de-0000-7000-8000-000000000001', undefined, 404],
  ['PUT', '/commands/no-uuid/result', '{"result":{},"agentId":"a"}', 404],
  ['PUT', '/commands/0198a0de-0000-7000-8000-000000000001/result', '{"agentId":"a"}', 400],
  ['PUT', '/commands/0198a0de-0000-7000-8000-000000000001/result', '{"result":{}}', 400],
  [
    'PUT',
    '/commands/0198a0de-0000-7000-8000-000000000001/result',
    '{"result":{},"agentId":"a"}',
    404,
  ],
])('%s %s with %s is %i, and the connection goes on', async (method, path, body, status) => {
  const { statusLine } = await exchange(method, path, body);
  expect(statusLine).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect((await exchange('GET', '/health')).body).toBe('{"status":"ok"}');
});

test('a result for what runs elsewhere, or is done, is refused', async () => {
  const id = await submit('{"type":"DELAY","payload":{"ms":1}}');
  const report = async (agentId: string) => {
    const body = `{"result":{"ok":true,"tookMs":1},"agentId":"${agentId}"}`;
    return (await exchange('PUT', `/commands/${id}/result`, body)).statusLine;
  };
  expect(await report('agent-1')).toBe('HTTP/1.1 409 Conflict');
  await exchange('GET', '/commands/next?agentId=agent-1');
  expect(await report('agent-2')).toBe('HTTP/1.1 409 Conflict');
  expect(await report('agent-1')).toBe('HTTP/1.1 200 OK');
  expect(await report('agent-1')).toBe('HTTP/1.1 409 Conflict');
});
