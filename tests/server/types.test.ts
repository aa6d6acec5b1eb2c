// Command types over REST: what there is, and what each takes and answers.

import { afterEach, expect, test } from 'vitest';
import { type CommandTypeDefinition, publishTypes } from '../../db/command-types.ts';
import { useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { useServer } from '../support/server.ts';

const database = useDatabase();
const server = useServer(database);

afterEach(() => database().pool.query(`delete from executor.command_types where type like 'T%'`));

const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(server().url + path, { headers });

async function answered(path: string): Promise<unknown> {
  const response = await get(path);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
  return await response.json();
}

const OWN: CommandTypeDefinition = {
  type: 'T:own.1_x-Y',
  description: 'A test.',
  payloadSchema: { type: 'object', properties: { "it's": { const: null } } },
  resultSchema: { $defs: { a: {} }, anyOf: [{ type: 'null' }, { $ref: '#/$defs/a' }] },
  defaultTimeoutMs: 1_234.5,
  timeoutPayloadKey: 'ms',
};

test('the list has every published type, by name', async () => {
  const types = (await answered('/types')) as CommandTypeDefinition[];
  expect(types.map(({ type }) => type)).toEqual(['DELAY', 'HTTP_GET_JSON', 'HTTP_REQUEST']);
  expect(types[0]).toMatchObject({
    type: 'DELAY',
    description: expect.stringMatching(/\w/),
    payloadSchema: { required: ['ms'] },
    resultSchema: { type: 'object' },
    timeoutPayloadKey: 'ms',
  });
  for (const type of types) expect(await answered(`/types/${type.type}`)).toEqual(type);
});

test('a type shows what was published, whatever that is', async () => {
  await publishTypes(database().pool, [OWN, { ...OWN, type: 'T2', timeoutPayloadKey: null }]);
  expect(await answered(`/types/${OWN.type}`)).toEqual(OWN);
  expect(await answered(`/types/${encodeURIComponent(OWN.type)}`)).toEqual(OWN);
  expect(await answered('/types/T2')).toMatchObject({ type: 'T2', timeoutPayloadKey: null });
  expect(await answered('/types')).toContainEqual(OWN);
});

test.each(['/types', '/types/T2'])('%s is 304 for who has it', async (path) => {
  await publishTypes(database().pool, [{ ...OWN, type: 'T2' }]);
  const etag = (await get(path)).headers.get('etag') ?? '';
  const known = await get(path, { 'If-None-Match': `"other", ${etag}` });
  expect({ status: known.status, body: await known.text() }).toEqual({ status: 304, body: '' });
  expect(known.headers.get('etag')).toBe(etag);
  await publishTypes(database().pool, [{ ...OWN, type: 'T2', description: 'Another test.' }]);
  const changed = await get(path, { 'If-None-Match': etag });
  expect(changed.status).toBe(200);
  expect(changed.headers.get('etag')).not.toBe(etag);
});

test.each(['NOPE', 'delay', '%00', '%ff', '%', "'%20or%201=1", 'x'.repeat(65), 'DELAY%0A'])(
  'GET /types/%s is 404',
  async (type) => {
    const problem = await expectProblem(await get(`/types/${type}`), 404);
    expect(problem).toMatchObject({ code: 'unknown_type', errors: [{ pointer: '#/path/type' }] });
  },
);

test.each(['/types', '/types/DELAY'])('%s takes no query', async (path) => {
  const problem = await expectProblem(await get(`${path}?x=1`), 400);
  expect(problem.errors).toMatchObject([{ pointer: '#/query/x' }]);
});
