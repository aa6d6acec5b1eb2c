// Many commands in one request: all or nothing, and every fault has its place.

import { beforeAll, describe, expect, test, vi } from 'vitest';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { post, useServer } from '../support/server.ts';

const database = useDatabase();
const server = useServer(database);

interface Answer {
  batchId: string | null;
  commandIds: string[];
}

const delay = (options: object = {}) => ({ type: 'DELAY', payload: { ms: 5 }, ...options });
const many = (count: number, options: object = {}) =>
  Array.from({ length: count }, () => delay(options));

/** Posts a body as it stands. */
function postBody(body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${server().url}/commands/batch`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

const postBatch = (...commands: unknown[]) => postBody({ commands });

async function submitBatch(...commands: unknown[]): Promise<Answer> {
  const response = await postBatch(...commands);
  expect(response.status).toBe(201);
  expect(response.headers.has('idempotency-replayed')).toBe(false);
  return (await response.json()) as Answer;
}

async function rows(ids: string[]) {
  return await database()
    .kysely.selectFrom('executor.commands')
    .select(['id', 'batch_id', 'payload', 'status', 'idempotency_key'])
    .where('id', 'in', ids)
    .orderBy('created_at')
    .execute();
}

async function countAll(): Promise<number> {
  const { rows: counts } = await database().pool.query<{ n: number }>(
    'select count(*)::int as n from executor.commands',
  );
  return counts[0]?.n ?? 0;
}

const keyed = (...keys: string[]) => keys.map((idempotencyKey) => delay({ idempotencyKey }));

async function expectReplay(commands: unknown[]): Promise<Answer> {
  const response = await postBatch(...commands);
  expect(response.status).toBe(200);
  expect(response.headers.get('idempotency-replayed')).toBe('true');
  return (await response.json()) as Answer;
}

const MIB = 1024 * 1024;
const filled = (bytes: number) => {
  const empty = { type: 'FREE', payload: { text: '' } };
  const text = 'x'.repeat(bytes - JSON.stringify(empty).length);
  return { ...empty, payload: { text } };
};

/** A body of nearly 8 MiB. */
const fill = (open: string, unit: string, close: string) =>
  `${open}${unit.repeat((8 * 1024 * 1024 - 200) / unit.length)}${close}`;

test('a batch is answered with its id and its commands, in order', async () => {
  const commands = Array.from({ length: 7 }, (_, ms) => ({ type: 'DELAY', payload: { ms } }));
  const { batchId, commandIds } = await submitBatch(...commands);
  const found = await rows(commandIds);
  expect(found.map(({ id }) => id)).toEqual(commandIds);
  expect(found.map(({ payload }) => payload)).toEqual(commands.map(({ payload }) => payload));
  expect(found.every(({ batch_id: id }) => id === batchId)).toBe(true);
  expect((await submitBatch(...commands)).batchId).not.toBe(batchId);
});

test.each([1, 1_000])('%i commands are a batch, of one transaction', async (count) => {
  const { commandIds } = await submitBatch(...many(count));
  expect(new Set(commandIds).size).toBe(count);
  const { rows: transactions } = await database().pool.query(
    'select distinct xmin::text from executor.commands where id = any ($1)',
    [commandIds],
  );
  expect(transactions).toHaveLength(1);
});

test('each command has options of its own', async () => {
  await emptyLedger(database());
  const { commandIds } = await submitBatch(
    delay({ priority: 5, tags: ['a'], metadata: { n: 1 } }),
    delay({ delayMs: 60_000 }),
    delay({ concurrencyKey: 'k' }),
    delay({ concurrencyKey: 'k' }),
    { type: 'HTTP_GET_JSON', payload: { url: 'http://localhost/' }, queue: 'default' },
  );
  const statuses = (await rows(commandIds)).map(({ status }) => status);
  expect(statuses).toEqual(['PENDING', 'SCHEDULED', 'PENDING', 'BLOCKED', 'PENDING']);
});

describe('a batch is refused whole', () => {
  const withThird = (third: unknown) => [delay(), delay(), delay(), third, delay()];

  test.each<[string, unknown, string]>([
    ['an unknown type', { type: 'NOPE', payload: {} }, '/type'],
    ['a missing type', { payload: {} }, '/type'],
    ['a wrong payload', delay({ payload: { ms: -1 } }), '/payload/ms'],
    ['a missing payload', { type: 'DELAY' }, '/payload'],
    ['a payload that is an array', delay({ payload: [] }), '/payload'],
    ['a wrong option', delay({ tags: ['a', ''] }), '/tags/1'],
    [
      'two options that exclude each other',
      delay({ delayMs: 1, runAt: '2030-01-01T00:00:00Z' }),
      '/delayMs',
    ],
    ['an unknown member', delay({ 'a/b': 1 }), '/a~1b'],
    ['an unknown queue', delay({ queue: 'nope' }), '/queue'],
    ['a batch of its own', delay({ batchId: '0198a0de-0000-7000-8000-000000000001' }), '/batchId'],
    ['a command that is null', null, ''],
    ['a command that is a list', [], ''],
    ['a command that is a number', 1, ''],
  ])('for %s', async (_, third, pointer) => {
    const before = await countAll();
    const problem = await expectProblem(await postBatch(...withThird(third)), 400);
    expect(problem.code).toBe('invalid_batch');
    expect(problem.errors).toEqual([
      { pointer: `#/commands/3${pointer}`, detail: expect.any(String) },
    ]);
    expect(await countAll()).toBe(before);
  });

  test('and all faults are told, in order, whoever finds them', async () => {
    const wrong = [
      { type: 'NOPE', payload: {} },
      delay(),
      delay({ priority: 101, delayMs: -1 }),
      delay({ payload: { m: 1 } }),
      delay({ queue: 'nope' }),
      7,
    ];
    const problem = await expectProblem(await postBatch(...wrong), 400);
    expect(problem.errors.map(({ pointer }) => pointer)).toEqual([
      '#/commands/0/type',
      '#/commands/2/delayMs',
      '#/commands/2/priority',
      '#/commands/3/payload/ms',
      '#/commands/3/payload/m',
      '#/commands/4/queue',
      '#/commands/5',
    ]);
  });

  test('but no more than twenty faults', async () => {
    for (const wrong of [{}, delay({ payload: {} }), { type: 'NOPE', payload: {} }, 0]) {
      const commands = Array.from({ length: 1_000 }, () => wrong);
      const { errors } = await expectProblem(await postBatch(...commands), 400);
      expect(errors).toHaveLength(20);
      expect(errors[19]?.pointer).toMatch(/^#\/commands\/19/);
    }
  });

  test.each<[string, unknown, string, string]>([
    ['a list', [], 'invalid_batch', '#'],
    ['null', null, 'invalid_batch', '#'],
    ['nothing in it', {}, 'invalid_batch', '#/commands'],
    ['one command', delay(), 'invalid_batch', '#/commands'],
    ['commands that are none', { commands: {} }, 'invalid_batch', '#/commands'],
    ['no commands', { commands: [] }, 'invalid_batch', '#/commands'],
    ['1,001 commands', { commands: many(1_001) }, 'invalid_batch', '#/commands'],
    ['a million', `{"commands":[${'0,'.repeat(999_999)}0]}`, 'invalid_batch', '#/commands'],
    ['more than commands', { commands: [delay()], tags: [] }, 'invalid_batch', '#/tags'],
    ['malformed JSON', '{"commands":[', 'invalid_json', '#'],
    ['an empty body', '', 'empty_body', '#'],
    ['NUL', { commands: [delay({ tags: ['\0'] })] }, 'unacceptable_json', '#/commands/0/tags/0'],
  ])('with %s', async (_, body, code, pointer) => {
    const problem = await expectProblem(await postBody(body), 400);
    expect(problem.code).toBe(code);
    expect(problem.errors[0]?.pointer).toBe(pointer);
  });

  test('when it is no JSON', async () => {
    const response = await postBody('x', { 'Content-Type': 'text/plain' });
    expect((await expectProblem(response, 415)).errors).toMatchObject([
      { pointer: '#/header/content-type' },
    ]);
  });

  test('under one idempotency key', async () => {
    const response = await postBody({ commands: [delay()] }, { 'Idempotency-Key': 'one for all' });
    expect(await expectProblem(response, 400)).toMatchObject({
      code: 'invalid_header',
      errors: [
        { pointer: '#/header/idempotency-key', detail: expect.stringContaining('of its own') },
      ],
    });
  });
});

describe('what only the database sees', () => {
  test('a type that is gone', async () => {
    const { pool } = database();
    await pool.query(
      `insert into executor.command_types
         (type, description, payload_schema, result_schema, default_timeout)
       values ('GONE', 'For a moment.', '{}', '{}', '1 min')`,
    );
    const gone = { type: 'GONE', payload: {} };
    await submitBatch(delay(), gone);
    await emptyLedger(database());
    await pool.query(`delete from executor.command_types where type = 'GONE'`);
    const problem = await expectProblem(await postBatch(delay(), gone, delay()), 400);
    expect(problem).toMatchObject({
      code: 'unknown_type',
      errors: [{ pointer: '#/commands/1/type' }],
    });
    expect(await countAll()).toBe(0);
  });

  test.each([["it's taken"], [String.raw`a \ b`], [`'`], ['käse'], ['taken']])(
    'the key %j, which stands for another command',
    async (key) => {
      await emptyLedger(database());
      await submitBatch(delay({ idempotencyKey: key }));
      const problem = await expectProblem(
        await postBatch(
          delay({ idempotencyKey: `${key}1` }),
          delay({ idempotencyKey: key.slice(1) || 'x' }),
          delay(),
          delay({ idempotencyKey: key, priority: 1 }),
        ),
        422,
      );
      expect(problem).toMatchObject({
        code: 'idempotency_key_reused',
        errors: [{ pointer: '#/commands/3/idempotencyKey' }],
      });
      expect(await countAll()).toBe(1);
    },
  );

  test('one key for two different commands', async () => {
    const before = await countAll();
    const key = { idempotencyKey: 'two in one' };
    const response = await postBatch(delay(), delay(key), delay({ ...key, priority: 1 }));
    const problem = await expectProblem(response, 422);
    expect(problem.errors.map(({ pointer }) => pointer)).toEqual([
      '#/commands/1/idempotencyKey',
      '#/commands/2/idempotencyKey',
    ]);
    expect(await countAll()).toBe(before);
  });

  test('a key that somebody is using', async () => {
    const before = await countAll();
    const client = await database().pool.connect();
    await client.query('begin');
    await client.query(
      `select executor.submit_command('DELAY', '{"ms": 5}', '{"idempotencyKey": "used"}')`,
    );
    const commands = [delay({ idempotencyKey: 'not used' }), delay({ idempotencyKey: 'used' })];
    const response = await postBatch(...commands);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await expectProblem(response, 409)).toMatchObject({
      code: 'idempotency_key_in_use',
      errors: [{ pointer: '#/commands/1/idempotencyKey' }],
    });
    await client.query('rollback');
    client.release();
    expect(await countAll()).toBe(before);
    await submitBatch(...commands);
  });
});

describe('a batch whose commands have keys', () => {
  test('is answered as the first time when it comes again', async () => {
    const commands = keyed('a1', 'a2', 'a3');
    const first = await submitBatch(...commands);
    expect(await expectReplay(commands)).toEqual(first);
    expect(await expectReplay(commands.slice(1))).toEqual({
      batchId: first.batchId,
      commandIds: first.commandIds.slice(1),
    });
  });

  test('has no batch to name when they came in several, or alone', async () => {
    const first = await submitBatch(...keyed('b1'));
    const second = await submitBatch(...keyed('b2'));
    expect(await expectReplay(keyed('b1', 'b2'))).toEqual({
      batchId: null,
      commandIds: [...first.commandIds, ...second.commandIds],
    });
    const alone = await post(server().url, delay(), { 'Idempotency-Key': 'b3' });
    const { commandId } = (await alone.json()) as { commandId: string };
    expect(await expectReplay(keyed('b3'))).toEqual({ batchId: null, commandIds: [commandId] });
    expect((await expectReplay(keyed('b1', 'b3'))).batchId).toBeNull();
  });

  test('is a new batch when some of them are new', async () => {
    const first = await submitBatch(...keyed('c1', 'c2'));
    const second = await submitBatch(...keyed('c1'), delay(), ...keyed('c2', 'c3'));
    const [known1, fresh1, known2, fresh2] = second.commandIds;
    expect([known1, known2]).toEqual(first.commandIds);
    const found = await rows([fresh1 ?? '', fresh2 ?? '']);
    expect(found.map(({ batch_id: id }) => id)).toEqual([second.batchId, second.batchId]);
  });

  test('answers the second of two with one key with the first', async () => {
    const { commandIds } = await submitBatch(...keyed('d1', 'd2', 'd1'));
    expect(commandIds[2]).toBe(commandIds[0]);
    expect(new Set(commandIds).size).toBe(2);
  });

  test('shares its keys with single commands', async () => {
    const { commandIds } = await submitBatch(...keyed('e1'));
    const single = await post(server().url, delay(), { 'Idempotency-Key': 'e1' });
    expect(single.status).toBe(200);
    expect(await single.json()).toEqual({ commandId: commandIds[0] });
  });

  test('ten times at once is submitted once', async () => {
    const names = Array.from({ length: 50 }, (_, i) => `f${i}`);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        postBatch(...keyed(...(i % 2 ? names : names.toReversed()))),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(9);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    const sets = await Promise.all(
      answers.map(async (answer) => ((await answer.json()) as Answer).commandIds.sort()),
    );
    for (const ids of sets) expect(ids).toEqual(sets[0]);
  });
});

describe('size', () => {
  beforeAll(async () => {
    await database().pool.query(
      `insert into executor.command_types
         (type, description, payload_schema, result_schema, default_timeout)
       values ('FREE', 'Takes anything.', '{}', '{}', '1 min')`,
    );
  });

  test('a batch may be larger than one command', async () => {
    expect(JSON.stringify(filled(MIB))).toHaveLength(MIB);
    await submitBatch(...Array.from({ length: 7 }, () => filled(MIB)));
  });

  test('a command in it may not', async () => {
    const problem = await expectProblem(await postBatch(delay(), filled(MIB + 1)), 400);
    expect(problem.errors).toMatchObject([{ pointer: '#/commands/1' }]);
  });

  test('a batch of over 8 MiB is too large', async () => {
    const commands = Array.from({ length: 9 }, () => filled(MIB));
    const problem = await expectProblem(await postBatch(...commands), 413);
    expect(problem).toMatchObject({ code: 'body_too_large', errors: [{ pointer: '#' }] });
  });

  test('a large batch that is refused for its headers may be sent all the same', async () => {
    const commands = Array.from({ length: 7 }, () => filled(MIB));
    const response = await postBody({ commands }, { 'Idempotency-Key': 'x' });
    await expectProblem(response, 400);
    await submitBatch(delay());
  });
});

test('a hostile body is refused in a moment', async () => {
  const start = '{"commands":[{"type":"DELAY","payload":{"ms":1}';
  const bodies = [
    fill('{"commands":[', '0,', '0]}'),
    fill('{"commands":[', '[],', '0]}'),
    fill(`${start},"tags":[`, '0,', '0]}]}'),
    fill(`${start},"metadata":{"a":[`, '[],', '0]}}]}'),
    fill(`${start},"queue":"`, 'xxxx', '"}]}'),
    `{"commands":[{${Array.from({ length: 400_000 }, (_, i) => `"member ${i}":0`).join()}}]}`,
    `{"commands":[{"backoff":{${Array.from({ length: 400_000 }, (_, i) => `"m${i}":0`).join()}}}]}`,
    `{"commands":[${Array.from({ length: 1_000 }, () => `{${'"a":0,'.repeat(1_000)}"b":0}`).join()}]}`,
  ];
  for (const body of bodies) {
    const startedAt = performance.now();
    const problem = await expectProblem(await postBody(body), 400);
    expect(problem.errors.length).toBeGreaterThan(0);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  }
});

test('of very many at once some wait, some are told to come again, and none is lost', async () => {
  const before = await countAll();
  const blocker = await database().pool.connect();
  await blocker.query('begin; lock table executor.commands');
  const early: Response[] = [];
  const asked = Array.from({ length: 40 }, async () => {
    const response = await postBatch(...many(3));
    early.push(response);
    return response;
  });
  try {
    await vi.waitFor(() => expect(early).toHaveLength(8), { timeout: 10_000 });
    await vi.waitFor(async () => expect(await countWaiting()).toBe(2));
    // Batches leave room for everyone else.
    expect((await fetch(`${server().url}/health`)).status).toBe(200);
    for (const response of early) {
      expect(response.headers.get('retry-after')).toBe('1');
      expect((await expectProblem(response, 503)).code).toBe('too_many_batches');
    }
  } finally {
    await blocker.query('rollback');
    blocker.release();
  }
  const answers = await Promise.all(asked);
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(32);
  expect(await countAll()).toBe(before + 32 * 3);
});

async function countWaiting(): Promise<number | null> {
  const { rowCount } = await database().pool.query(
    `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return rowCount;
}

test('GET /commands/batch is no command', async () => {
  await expectProblem(await fetch(`${server().url}/commands/batch`), 404);
});
