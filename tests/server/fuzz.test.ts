// Generated requests to every operation that the API describes, good ones and bad ones: whatever is sent,
// the answer is one that is described, nothing breaks, and the ledger keeps its promises.
//
// FUZZ_RUNS says how many requests each operation gets; a failure prints the seed that FUZZ_SEED takes.

import * as fc from 'fast-check';
import { v7 } from 'uuid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AttemptKey } from '../../db/agents.ts';
import { NAME } from '../../db/names.ts';
import { tick } from '../../db/recovery.ts';
import { Api, type Operation } from '../support/api.ts';
import { allowedRequests, type ApiRequest, requestsTo } from '../support/api-requests.ts';
import { useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import type { Json } from '../support/schema-arbitrary.ts';
import { useServer } from '../support/server.ts';
import { type Session, startSession } from '../support/session.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 40);
const SEED = process.env['FUZZ_SEED'];
const SECONDS_A_RUN = 0.5;
const MOST_MISSES = 200;

const database = useDatabase();
const server = useServer(database);

interface Document {
  paths: Record<string, Record<string, { tags: string[] }>>;
  components: { schemas: Record<string, { properties?: Json }> };
}

let document: Document;
/** As the server describes itself. */
let described: Api;
/** The same, narrowed to what is known here and does not wait. */
let api: Api;
let session: Session;
const commandIds: string[] = [];
/** What the session runs. */
let running: AttemptKey[] = [];

beforeAll(async () => {
  const response = await fetch(`${server().url}/openapi.json`);
  document = (await response.json()) as Document;
  described = new Api(structuredClone(document) as unknown as Json);
  // Any name may be one; there are few here.
  for (const [name, { properties }] of Object.entries(document.components.schemas))
    if (name.startsWith('NewCommand.')) Object.assign(properties!, { queue: { const: 'default' } });
  await addCommands();
});

afterAll(() => session[Symbol.asyncDispose]());

/** The document for agents that mostly know their session and what it runs. */
function forThoseWhoKnow(): Json {
  const uuid = { type: 'string', format: 'uuid' };
  const fixed: Json = {
    // Nobody waits here for what does not come, and most schemas that can be written check nothing.
    wait: { const: 0 },
    contracts: { const: [] },
    agentId: mostly([session.agentId, 'simple'], { type: 'string', pattern: NAME.source }),
    session: mostly([session.session], uuid),
    id: mostly(
      running.map(({ id }) => id),
      uuid,
    ),
    attempt: { enum: [1, ...running.map(({ attempt }) => attempt)] },
    queues: mostly([['default'], ['side', 'default']], { const: ['nowhere'] }),
    types: mostly([['DELAY']], { const: ['UNKNOWN'] }),
  };
  const copy = structuredClone(document);
  for (const operation of Object.values(copy.paths).flatMap((path) => Object.values(path)))
    if (operation.tags.includes('Agents over HTTP')) narrow(operation, fixed);
  return copy as unknown as Json;
}

function mostly(known: unknown[], schema: object): Json {
  return { anyOf: [{ enum: known }, { enum: known }, { enum: known }, schema] };
}

/** Puts other schemas in the place of parameters' and members' of these names, in what is sent. */
function narrow(part: unknown, fixed: Json): void {
  if (typeof part !== 'object' || part === null) return;
  const { properties, name } = part as { properties?: Json; name?: string };
  for (const key of Object.keys(properties ?? {})) if (key in fixed) properties![key] = fixed[key];
  if (name !== undefined && name in fixed) Object.assign(part, { schema: fixed[name] });
  for (const [key, inner] of Object.entries(part)) if (key !== 'responses') narrow(inner, fixed);
}

/** Some commands of every status, whatever was paused, drained and claimed by those who have gone. */
async function addCommands(): Promise<void> {
  await session?.[Symbol.asyncDispose]();
  session = await startSession(database(), 'fuzzed');
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
  for (let i = 0; i < 10; i += 1) await submit({ priority: 100, maxAttempts: 1 });
  const [completed, failed, ...rest] = await session.claim(10);
  await session.complete([completed!]);
  await session.fail([failed!]);
  running = rest;
  expect(running).toHaveLength(8);
  for (const options of [{}, { tags: ['a'] }, { delayMs: 1e9 }, { concurrencyKey: 'k' }])
    await submit(options);
  await submit({ concurrencyKey: 'k' });
  const cancelled = await submit({});
  await database().pool.query('select executor.cancel_command($1)', [cancelled]);
  api = new Api(forThoseWhoKnow());
}

/** Names and ids that are known, by what addresses begin with. */
function knownTo({ path }: Operation): string[] {
  if (path.startsWith('/agents')) return [session.agentId];
  if (path.endsWith('/result')) return running.map(({ id }) => id);
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
  if (isForbidden(operation, request) && response.ok)
    throw new Error(`accepted, though it is forbidden: ${request.body}`);
  expect(response.status).toBeLessThan(500);
  await api.assertDocumented(operation, response);
}

/** Whether the description does not allow the body. */
function isForbidden({ method, path }: Operation, { body }: ApiRequest): boolean {
  const { bodySchema } = operationOf(described, method, path);
  if (body === undefined || bodySchema === undefined) return false;
  try {
    return !described.allows(bodySchema, JSON.parse(body));
  } catch {
    return body !== '';
  }
}

function operationOf({ operations }: Api, method: string, path: string): Operation {
  return operations.find((one) => one.method === method && one.path === path)!;
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
  ['GET', '/commands/next'],
  ['POST', '/commands/claim'],
  ['PUT', '/commands/{id}/result'],
  ['POST', '/agents'],
  ['POST', '/agents/{id}/beat'],
  ['POST', '/agents/{id}/results'],
  ['POST', '/agents/{id}/progress'],
  ['POST', '/agents/{id}/release'],
  ['POST', '/agents/{id}/sign-off'],
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
    await addCommands();
    const operation = operationOf(api, method, path);
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
    expect(errors).toContainEqual({ pointer: '#/query/color', detail: 'unknown' });
  }
});

test('an unknown command is 404 for every operation of one', async () => {
  const ofOne = api.operations.filter(({ path }) => path.startsWith('/commands/{id}'));
  expect(ofOne.length).toBeGreaterThan(3);
  for (const operation of ofOne) {
    const [request] = fc.sample(allowedRequests(api, operation), 1);
    const { body } = request!;
    const unknown = { isAllowed: true, id: v7(), query: '', headers: {} };
    const response = await send(operation, { ...unknown, ...(body !== undefined && { body }) });
    expect((await expectProblem(response, 404)).code).toBe('unknown_command');
  }
});

/** What is more than a polite answer. */
const HITS: [method: string, path: string, isHit: (status: number, body: string) => boolean][] = [
  ['GET', '/commands/next', (status) => status === 200],
  ['POST', '/commands/claim', (_, body) => body.startsWith('[{')],
  ['PUT', '/commands/{id}/result', (status) => status === 200],
  ['POST', '/agents', (_, body) => body.includes('"agentId":"fuzzed"')],
  ['POST', '/agents/{id}/beat', (status) => status === 200],
  ['POST', '/agents/{id}/results', (_, body) => body.includes('accepted')],
  ['POST', '/agents/{id}/progress', (_, body) => body.includes('accepted')],
  ['POST', '/agents/{id}/release', (_, body) => body.includes('accepted')],
  ['POST', '/agents/{id}/sign-off', (status) => status === 204],
];

test.each(HITS)('%s %s does what it is for, too', async (method, path, isHit) => {
  await addCommands();
  const operation = operationOf(api, method, path);
  for (const request of fc.sample(allowedRequests(api, operation), MOST_MISSES)) {
    const response = await send(operation, request);
    if (isHit(response.status, await response.text())) return;
  }
  expect.unreachable(`of ${MOST_MISSES} requests none`);
});

test('HEAD answers as GET does, without the body', async () => {
  // A claim whose answer has no body would lose a command.
  const gets = api.operations.filter(
    ({ method, path }) => method === 'GET' && path !== '/commands/next',
  );
  for (const operation of gets) {
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
  // Agents that nobody plays any more would be idle while work waits.
  await database().pool.query('select executor.sign_off(id, session) from executor.agents');
  await tick(database().pool);
  const { rows } = await database().pool.query(
    'select * from executor.invariants where violations <> 0',
  );
  expect(rows).toEqual([]);
});
