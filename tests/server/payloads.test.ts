// The contracts of command types live in the database; the server follows them.

import { expect, test } from 'vitest';
import { readCommandTypes } from '../../db/command-types.ts';
import { useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { post, startServer, useServer } from '../support/server.ts';

const database = useDatabase();
const server = useServer(database);

const submitTo = (type: string, payload: object) => post(server().url, { type, payload });

async function publish(type: string, schema: unknown): Promise<void> {
  await database().pool.query(
    `insert into executor.command_types
       (type, description, payload_schema, result_schema, default_timeout)
     values ($1, 'A test.', $2, '{}', '1 min')
     on conflict (type) do update set payload_schema = excluded.payload_schema`,
    [type, JSON.stringify(schema)],
  );
}

test('a type is known as soon as it is published', async () => {
  await expectProblem(await submitTo('FRESH', {}), 400);
  await publish('FRESH', { required: ['to'] });
  expect((await expectProblem(await submitTo('FRESH', {}), 400)).code).toBe('invalid_payload');
  expect((await submitTo('FRESH', { to: 1 })).status).toBe(201);
});

test('a changed schema is followed, even under the same $id', async () => {
  const schema = { $id: 'https://example.org/changing', type: 'object' };
  await publish('CHANGING', { ...schema, required: ['old'] });
  await expectProblem(await submitTo('CHANGING', { new: 1 }), 400);
  await publish('CHANGING', { ...schema, required: ['new'] });
  await expectProblem(await submitTo('UNKNOWN', {}), 400); // Makes the server look again.
  expect((await submitTo('CHANGING', { new: 1 })).status).toBe(201);
});

test.each([
  ['that is no schema', { type: 'nonsense' }],
  ['of another document', { $ref: 'https://example.org/schema' }],
  ['that is asynchronous', { $async: true, required: ['x'] }],
  ['with a broken pattern', { properties: { x: { pattern: '(' } } }],
])('a schema %s checks nothing and harms nobody', async (_, schema) => {
  await publish('BROKEN', schema);
  await using own = await startServer(database());
  for (let i = 0; i < 2; i += 1) {
    expect((await post(own.url, { type: 'BROKEN', payload: {} })).status).toBe(201);
    expect((await post(own.url, { type: 'UNKNOWN', payload: {} })).status).toBe(400);
    expect((await post(own.url, { type: 'DELAY', payload: { ms: -1 } })).status).toBe(400);
  }
  expect(own.logged.filter(({ type }) => type === 'BROKEN')).toHaveLength(1);
});

test('pointers lead to the member, however deep and whatever its name', async () => {
  await publish('DEEP', {
    properties: {
      'a/b~c': { type: 'array', items: { type: 'object', required: ['d%'] } },
      when: { format: 'anything' },
    },
    unevaluatedProperties: false,
  });
  const problem = await expectProblem(
    await submitTo('DEEP', { 'a/b~c': [{ 'd%': 1 }, {}, 2], 'ü"#': 1, when: 'ever' }),
    400,
  );
  expect(problem.errors).toEqual([
    { pointer: '#/payload/a~1b~0c/1/d%25', detail: 'missing' },
    { pointer: '#/payload/a~1b~0c/2', detail: 'must be object' },
    { pointer: '#/payload/%C3%BC%22%23', detail: 'unknown' },
  ]);
});

test('a big wrong payload gets a short answer', async () => {
  await publish('LIST', { properties: { list: { items: { type: 'string' } } } });
  const list = Array.from({ length: 200_000 }, () => 1);
  const problem = await expectProblem(await submitTo('LIST', { list }), 400);
  expect(problem.errors).toEqual([{ pointer: '#/payload/list/0', detail: 'must be string' }]);
});

test('schemas are read again only for requests, and together', async () => {
  let reads = 0;
  const { Payloads } = await import('../../server/payloads.ts');
  const { default: pino } = await import('pino');
  const payloads = new Payloads(
    () => {
      reads += 1;
      return readCommandTypes(database().kysely);
    },
    pino({ level: 'silent' }),
  );
  const check = async (type: string, payload: object) => {
    await payloads.look([type]);
    payloads.assertValid(type, payload);
  };
  await Promise.all(Array.from({ length: 100 }, () => check('DELAY', { ms: 1 })));
  await check('DELAY', { ms: 1 });
  expect(reads).toBe(1);
  const unknown = Array.from({ length: 100 }, () => check('NOPE', {}));
  const outcomes = await Promise.allSettled(unknown);
  expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
  expect(reads).toBe(2);
});
