// Submitting twice under one idempotency key is submitting once.

import { expect, test, vi } from 'vitest';
import { connect, type Database } from '../../db/connect.ts';
import { useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { startProxy } from '../support/proxy.ts';
import { sendRaw } from '../support/raw-http.ts';
import { post, startServer, submit, useServer } from '../support/server.ts';

const database = useDatabase();
const server = useServer(database);

const KEY_HEADER = '#/header/idempotency-key';
const DELAY = { type: 'DELAY', payload: { ms: 5 } };

let keys = 0;
const newKey = () => `key-${(keys += 1)}`;

const postWith = (key: string, body: unknown = DELAY, url = server().url) =>
  post(url, body, { 'Idempotency-Key': key });

async function idOf(response: Response): Promise<string> {
  return ((await response.json()) as { commandId: string }).commandId;
}

/** How often there is a command of this key. */
async function count(key: string): Promise<number> {
  const { rows } = await database().pool.query<{ n: number }>(
    'select count(*)::int as n from executor.commands where idempotency_key = $1',
    [key],
  );
  return rows[0]?.n ?? 0;
}

async function expectReplay(response: Response, id: string): Promise<void> {
  expect(response.status).toBe(200);
  expect(response.headers.get('idempotency-replayed')).toBe('true');
  expect(response.headers.get('location')).toBe(`commands/${id}`);
  expect(await response.json()).toEqual({ commandId: id });
}

test('the same key and request answer the first command', async () => {
  const key = newKey();
  const first = await postWith(key);
  expect(first.status).toBe(201);
  expect(first.headers.has('idempotency-replayed')).toBe(false);
  const id = await idOf(first);
  for (let again = 0; again < 3; again += 1) await expectReplay(await postWith(key), id);
  expect(await count(key)).toBe(1);
});

test('pages of other origins may send a key and see whether it was a replay', async () => {
  const Origin = 'https://dashboard.example';
  const preflight = await fetch(`${server().url}/commands`, {
    method: 'OPTIONS',
    headers: {
      Origin,
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'content-type,idempotency-key',
    },
  });
  expect(preflight.headers.get('access-control-allow-headers')).toContain('idempotency-key');
  const response = await post(server().url, DELAY, { Origin, 'Idempotency-Key': newKey() });
  const exposed = response.headers.get('access-control-expose-headers')?.split(',');
  expect(exposed).toContain('Idempotency-Replayed');
});

test('another key, and no key, are other commands', async () => {
  const ids = [
    await idOf(await postWith(newKey())),
    await idOf(await postWith(newKey())),
    await idOf(await post(server().url, DELAY)),
    await idOf(await post(server().url, DELAY)),
  ];
  expect(new Set(ids).size).toBe(4);
});

test('in quotes, without, as a member and from SQL it is one key', async () => {
  const key = newKey();
  const { rows } = await database().pool.query<{ id: string }>(
    `select executor.submit_command('DELAY', '{"ms": 5}', $1) as id`,
    [{ idempotencyKey: key }],
  );
  const id = rows[0]?.id ?? '';
  await expectReplay(await postWith(key), id);
  await expectReplay(await postWith(`"${key}"`), id);
  await expectReplay(await post(server().url, { ...DELAY, idempotencyKey: key }), id);
});

test.each([
  [String.raw`"a \"b\" \\ c"`, String.raw`a "b" \ c`],
  [String.raw`a \"b`, String.raw`a \"b`],
  ['a b, c; d', 'a b, c; d'],
  ["'; drop table executor.commands; --", "'; drop table executor.commands; --"],
  ['x'.repeat(255), 'x'.repeat(255)],
  [`"${'"'.repeat(255).replaceAll('"', String.raw`\"`)}"`, '"'.repeat(255)],
])('the key %s is kept as %s', async (header, key) => {
  const response = await postWith(header);
  expect(response.status).toBe(201);
  await expectReplay(await postWith(header), await idOf(response));
  expect(await count(key)).toBe(1);
});

test('the same request may be written in another way', async () => {
  const key = newKey();
  const id = await idOf(await postWith(key, { ...DELAY, tags: ['a'], priority: 1 }));
  const other = '{"priority":1.0, "tags":["\\u0061"], "payload":{"ms":5e0}, "type":"DELAY"}';
  await expectReplay(await postWith(key, other), id);
});

test.each([
  ['payload', { payload: { ms: 6 } }],
  ['type', { type: 'HTTP_GET_JSON', payload: { url: 'http://localhost/' } }],
  ['option', { priority: 1 }],
])('the same key with another %s is refused', async (_, other) => {
  const key = newKey();
  await postWith(key);
  const problem = await expectProblem(await postWith(key, { ...DELAY, ...other }), 422);
  expect(problem).toMatchObject({
    code: 'idempotency_key_reused',
    errors: [{ pointer: KEY_HEADER }],
  });
  const asMember = { ...DELAY, ...other, idempotencyKey: key };
  const second = await expectProblem(await post(server().url, asMember), 422);
  expect(second.errors).toMatchObject([{ pointer: '#/idempotencyKey' }]);
  expect(await count(key)).toBe(1);
});

test.each([
  ['an empty one', ''],
  ['empty quotes', '""'],
  ['256 characters', 'x'.repeat(256)],
  ['256 characters in quotes', `"${'x'.repeat(256)}"`],
  ['an open quote', '"abc'],
  ['one quote', '"'],
  ['text after the quotes', '"abc"; a=1'],
  ['two in one', '"abc", "def"'],
  ['a quote within quotes', '"a"b"'],
  ['a backslash before a letter', String.raw`"\a"`],
  ['a backslash at the end', String.raw`"abc\"`],
  ['characters beyond ASCII', 'käse'],
  ['such in quotes', '"käse"'],
  ['a tab', 'a\tb'],
])('%s is no key', async (_, key) => {
  const problem = await expectProblem(await postWith(key), 400);
  expect(problem).toMatchObject({ code: 'invalid_header', errors: [{ pointer: KEY_HEADER }] });
});

test('two headers are no key', async () => {
  const body = JSON.stringify(DELAY);
  const head = [
    'POST /commands HTTP/1.1',
    'Host: x',
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    'Idempotency-Key: abc',
    'Idempotency-Key: def',
    'Connection: close',
  ];
  const answer = await sendRaw(server().url, `${head.join('\r\n')}\r\n\r\n${body}`);
  expect(answer.status).toBe(400);
  expect(JSON.parse(answer.body)).toMatchObject({ errors: [{ pointer: KEY_HEADER }] });
});

test('the header and the member together are refused, even when they agree', async () => {
  const key = newKey();
  const response = await postWith(key, { ...DELAY, idempotencyKey: key });
  const problem = await expectProblem(response, 400);
  expect(problem).toMatchObject({
    code: 'invalid_command',
    errors: [{ pointer: '#/idempotencyKey' }],
  });
});

test('a request that is refused does not take its key', async () => {
  const key = newKey();
  await expectProblem(await postWith(key, { type: 'DELAY', payload: {} }), 400);
  await expectProblem(await postWith(key, { ...DELAY, queue: 'nope' }), 400);
  await expectProblem(await postWith(key, '{'), 400);
  expect((await postWith(key)).status).toBe(201);
});

test('a key is free again after 24 hours', async () => {
  const key = newKey();
  const first = await idOf(await postWith(key));
  const age = (text: string) =>
    database().pool.query(
      'update executor.idempotency_keys set created_at = now() - $2::interval where key = $1',
      [key, text],
    );
  await age('23:59:00');
  await expectReplay(await postWith(key), first);
  await age('24:00:01');
  const second = await postWith(key, { ...DELAY, priority: 1 });
  expect(second.status).toBe(201);
  const id = await idOf(second);
  expect(id).not.toBe(first);
  await expectReplay(await postWith(key, { ...DELAY, priority: 1 }), id);
  // What the check of invariants goes by: the key stands for the later command now.
  await database().pool.query('update executor.commands set idempotency_key = null where id = $1', [
    first,
  ]);
});

test('fifty at once, over two servers, are one command', async () => {
  await using other = await startServer(database());
  for (let round = 0; round < 3; round += 1) {
    const key = newKey();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => postWith(key, DELAY, [server().url, other.url][i % 2])),
    );
    const replayed = answers.filter(({ headers }) => headers.has('idempotency-replayed'));
    expect(replayed.map(({ status }) => status)).toEqual(Array.from({ length: 49 }, () => 200));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(new Set(await Promise.all(answers.map(idOf))).size).toBe(1);
    expect(await count(key)).toBe(1);
  }
});

test('many keys, many times each, over two servers, are one command each', async () => {
  await using other = await startServer(database());
  const mine = Array.from({ length: 20 }, newKey);
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, i) =>
      postWith(mine[i % 20] ?? '', DELAY, [server().url, other.url][(i >> 2) % 2]),
    ),
  );
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(20);
  expect(new Set(await Promise.all(answers.map(idOf))).size).toBe(20);
  for (const key of mine) expect(await count(key)).toBe(1);
});

test('a COMMIT whose answer got lost is no replay for the one who asked', async () => {
  await using proxy = await startProxy(database().url);
  const through = connect(proxy.url, { applicationName: 'through', max: 5 });
  await using own = await startServer(through);
  const key = newKey();
  const cut = proxy.cutReplyTo(/executor\.submit/);
  const response = await postWith(key, DELAY, own.url);
  await cut;
  expect(response.status).toBe(201);
  await expectReplay(await postWith(key, DELAY, own.url), await idOf(response));
  expect(await count(key)).toBe(1);
  await through.close();
});

test('while connections break, a key still is one command', async () => {
  const pools = [1, 2].map(() =>
    connect(database().url, { applicationName: 'breaking', max: 5 }),
  ) as [Database, Database];
  await using one = await startServer(pools[0]);
  await using two = await startServer(pools[1]);
  const mine = Array.from({ length: 20 }, newKey);
  const submitted = Array.from({ length: 200 }, async (_, i): Promise<string> => {
    for (;;) {
      const url = i % 2 ? one.url : two.url;
      const response = await postWith(mine[(i >> 1) % 20] ?? '', DELAY, url);
      if (response.ok) return await idOf(response);
      // Away, or being used by a transaction whose connection broke.
      expect([503, 409]).toContain(response.status);
    }
  });
  for (let cut = 0; cut < 30; cut += 1) {
    await database().pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name = 'breaking' and random() < 0.5`,
    );
  }
  expect(new Set(await Promise.all(submitted)).size).toBe(20);
  for (const key of mine) expect(await count(key)).toBe(1);
  await Promise.all(pools.map((pool) => pool.close()));
});

/** A transaction of somebody else that has just submitted under this key. */
async function openTransaction(key: string) {
  const client = await database().pool.connect();
  await client.query('begin');
  const { rows } = await client.query<{ id: string }>(
    `select executor.submit_command('DELAY', '{"ms": 5}', $1) as id`,
    [{ idempotencyKey: key }],
  );
  return {
    id: rows[0]?.id ?? '',
    end: async (how: 'commit' | 'rollback') => {
      await client.query(how);
      client.release();
    },
  };
}

test.each([
  ['rollback', 201],
  ['commit', 200],
] as const)('a key in an open transaction is in use until its %s', async (how, then) => {
  const key = newKey();
  const { end, id } = await openTransaction(key);
  const response = await postWith(key);
  expect(response.headers.get('retry-after')).toBe('1');
  expect(await expectProblem(response, 409)).toMatchObject({
    code: 'idempotency_key_in_use',
    errors: [{ pointer: KEY_HEADER }],
  });
  const asMember = await post(server().url, { ...DELAY, idempotencyKey: key });
  expect((await expectProblem(asMember, 409)).errors).toMatchObject([
    { pointer: '#/idempotencyKey' },
  ]);
  await end(how);
  const again = await postWith(key);
  expect(again.status).toBe(then);
  expect((await idOf(again)) === id).toBe(how === 'commit');
  expect(await count(key)).toBe(1);
});

test('one that ends while somebody waits for its key lets them go on', async () => {
  const key = newKey();
  const { end, id } = await openTransaction(key);
  const waiting = postWith(key);
  await vi.waitFor(async () => {
    const { rowCount } = await database().pool.query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    expect(rowCount).toBe(1);
  });
  await end('commit');
  await expectReplay(await waiting, id);
});

test('a key in use holds up no command without a key', async () => {
  const key = newKey();
  const { end } = await openTransaction(key);
  let isAnswered = false;
  const waiting = postWith(key).finally(() => (isAnswered = true));
  for (let i = 0; i < 20; i += 1) await submit(server().url, 'DELAY', { ms: i });
  expect(isAnswered).toBe(false);
  await end('rollback');
  expect((await waiting).status).toBe(201);
});

test('however many ask for a key in use, others wait for it once', async () => {
  const key = newKey();
  const { end } = await openTransaction(key);
  const startedAt = performance.now();
  const asked = Array.from({ length: 30 }, () => postWith(key));
  const others = await Promise.all(Array.from({ length: 10 }, () => postWith(newKey())));
  expect(performance.now() - startedAt).toBeLessThan(6_000);
  expect(others.every(({ status }) => status === 201)).toBe(true);
  for (const response of await Promise.all(asked)) expect(response.status).toBe(409);
  await end('rollback');
});
