// Generated requests to every operation that the API describes, good ones and bad ones: whatever is sent,
// the answer is one that is described, nothing breaks, and the ledger keeps its promises.
//
// FUZZ_RUNS says how many requests each operation gets; a failure prints the seed that FUZZ_SEED takes.

import * as fc from 'fast-check';
import { v7 } from 'uuid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tick } from '../../db/recovery.ts';
import { Api, type Operation } from '../support/api.ts';
import { type ApiRequest, requestsTo } from '../support/api-requests.ts';
import { useDatabase } from '../support/database.ts';
import type { Json } from '../support/schema-arbitrary.ts';
import { useServer } from '../support/server.ts';
import { type Session, startSession } from '../support/session.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 40);
const SEED = process.env['FUZZ_SEED'];
const SECONDS_A_RUN = 0.5;

const database = useDatabase();
const server = useServer(database);

interface Document {
  paths: Record<
    string,
    Record<string, { requestBody?: { content: Record<string, { schema: Schema }> } }>
  >;
  components: { schemas: Record<string, { properties?: Json }> };
}

interface Schema {
  properties?: Record<string, unknown>;
}

function bodySchemas({ paths }: Document): Schema[] {
  return Object.values(paths)
    .flatMap((path) => Object.values(path))
    .flatMap(({ requestBody }) => Object.values(requestBody?.content ?? {}))
    .map(({ schema }) => schema);
}

let session: Session;
let api: Api;
const commandIds: string[] = [];

beforeAll(async () => {
  session = await startSession(database(), 'fuzzed');
  const response = await fetch(`${server().url}/openapi.json`);
  const document = (await response.json()) as Document;
  // Any name may be one; there are few here.
  for (const [name, { properties }] of Object.entries(document.components.schemas))
    if (name.startsWith('NewCommand.')) Object.assign(properties!, { queue: { const: 'default' } });
  // Nobody waits here for what does not come, and most schemas that can be written check nothing.
  const fixed = { wait: { const: 0 }, contracts: { const: [] } };
  for (const { properties } of bodySchemas(document))
    for (const [name, schema] of Object.entries(fixed))
      if (properties && name in properties) properties[name] = schema;
  api = new Api(document as unknown as Json);
  await addCommands();
});

afterAll(() => session[Symbol.asyncDispose]());

/** Some commands of every status, whatever was paused and drained. */
async function addCommands(): Promise<void> {
  await database().pool.query(
    `select executor.resume_queue('default'), executor.resume_agent($1), executor.create_queue('side')`,
    [session.agentId],
  );
  const submit = async (options: object) => {
    const { rows } = await database().pool.query<{ id: string }>(
      `select executor.submit_command('DELAY', '{"ms": 1}', $1) as id`,
      [JSON.stringify(options)],
    );
    commandIds.push(rows[0]!.id);
    return rows[0]!.id;
  };
  for (let i = 0; i < 4; i += 1) await submit({ priority: 100, maxAttempts: 1 });
  const [completed, failed, ...running] = await session.claim(4);
  await session.complete([completed!]);
  await session.fail([failed!]);
  expect(running).toHaveLength(2);
  for (const options of [{}, { tags: ['a'] }, { delayMs: 1e9 }, { concurrencyKey: 'k' }])
    await submit(options);
  await submit({ concurrencyKey: 'k' });
  const cancelled = await submit({});
  await database().pool.query('select executor.cancel_command($1)', [cancelled]);
}

/** Names and ids that are known, by what addresses begin with. */
function knownTo({ path }: Operation): string[] {
  if (path.startsWith('/agents')) return [session.agentId];
  if (path.startsWith('/queues')) return ['default', 'side'];
  return path.startsWith('/types') ? ['DELAY', 'HTTP_REQUEST'] : commandIds;
}

async function send(operation: Operation, { id, query, headers, body }: ApiRequest) {
  const known = knownTo(operation);
  const shown = typeof id === 'number' ? known[id % known.length]! : id;
  const path = operation.path.replace(/\{\w+\}/, shown);
  const type = body === undefined ? {} : { 'Content-Type': 'application/json' };
  return await fetch(`${server().url}${path}${query && `?${query}`}`, {
    method: operation.method,
    headers: new Headers({ ...type, ...headers }),
    redirect: 'error',
    ...(body !== undefined && { body }),
  });
}

/** What says that the request itself is wrong. */
const MALFORMED = [400, 413, 415];

async function expectSound(operation: Operation, request: ApiRequest): Promise<void> {
  const response = await send(operation, request);
  if (request.isAllowed && MALFORMED.includes(response.status))
    throw new Error(`refused, though it is allowed: ${await response.text()}`);
  expect(response.status).toBeLessThan(500);
  await api.assertDocumented(operation, response);
}

const OPERATIONS = [
  ['POST', '/commands'],
  ['GET', '/commands'],
  ['POST', '/commands/batch'],
  ['GET', '/commands/{id}'],
  ['GET', '/commands/{id}/logs'],
  ['GET', '/commands/{id}/events'],
  ['GET', '/events'],
  ['POST', '/commands/{id}/cancel'],
  ['POST', '/commands/{id}/retry'],
  ['POST', '/commands/cancel'],
  ['POST', '/commands/retry'],
  ['GET', '/agents'],
  ['GET', '/agents/{id}'],
  ['POST', '/agents/{id}/drain'],
  ['POST', '/agents/{id}/resume'],
  ['GET', '/queues'],
  ['GET', '/queues/{name}'],
  ['PUT', '/queues/{name}'],
  ['POST', '/queues/{name}/pause'],
  ['POST', '/queues/{name}/resume'],
  ['GET', '/types'],
  ['GET', '/types/{type}'],
  ['GET', '/health'],
  ['GET', '/openapi.json'],
  ['GET', '/docs'],
] as const;

test('every operation is tried', () => {
  const described = api.operations.map(({ method, path }) => `${method} ${path}`);
  expect(OPERATIONS.map((one) => one.join(' ')).sort()).toEqual(described.sort());
});

test.each(OPERATIONS)(
  '%s %s answers whatever it is sent as it says',
  { timeout: 20_000 + RUNS * SECONDS_A_RUN * 1_000 },
  async (method, path) => {
    const operation = api.operations.find((one) => one.method === method && one.path === path)!;
    await addCommands();
    await fc.assert(
      fc.asyncProperty(requestsTo(api, operation), (request) => expectSound(operation, request)),
      { numRuns: RUNS, ...(SEED !== undefined && { seed: Number(SEED) }) },
    );
    expect(server().logged.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  },
);

test(
  'many requests at once are answered as they say too',
  { timeout: 20_000 + RUNS * SECONDS_A_RUN * 1_000 },
  async () => {
    await addCommands();
    const any = api.operations.map((operation) =>
      requestsTo(api, operation).map((request) => ({ operation, request })),
    );
    const some = fc.array(fc.oneof(...any), { minLength: 10, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(some, async (together) => {
        const sent = together.map(({ operation, request }) => expectSound(operation, request));
        await Promise.all(sent);
      }),
      { numRuns: Math.ceil(RUNS / 4), ...(SEED !== undefined && { seed: Number(SEED) }) },
    );
  },
);

test('a parameter that an operation does not know is 400', async () => {
  for (const operation of api.operations) {
    const request = { isAllowed: false, id: 0, query: 'color=red', headers: {} };
    const response = await send(operation, request);
    const { status, path } = { status: response.status, path: operation.path };
    expect({ path, status }).toEqual({ path, status: 400 });
    const { errors } = (await response.json()) as { errors: unknown };
    expect(errors).toMatchObject([{ pointer: '#/query/color' }]);
  }
});

test('an unknown command is 404 for every operation of one', async () => {
  const steering = api.operations.filter(
    ({ method, path }) => method === 'POST' && path.includes('{id}'),
  );
  expect(steering.length).toBeGreaterThan(1);
  for (const operation of steering) {
    const request = { isAllowed: true, id: v7(), query: '', headers: {} };
    expect((await send(operation, request)).status).toBe(404);
  }
});

test('HEAD answers as GET does, without the body', async () => {
  for (const operation of api.operations.filter(({ method }) => method === 'GET')) {
    const request = { isAllowed: true, id: 0, query: '', headers: {} };
    const get = await send(operation, request);
    await get.body?.cancel();
    const head = await send({ ...operation, method: 'HEAD' }, request);
    expect(head.status).toBe(get.status);
    expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'));
    expect(await head.text()).toBe('');
  }
});

test('after all that, the ledger keeps every promise', async () => {
  await tick(database().pool);
  const { rows } = await database().pool.query(
    'select * from executor.invariants where violations <> 0',
  );
  expect(rows).toEqual([]);
});
