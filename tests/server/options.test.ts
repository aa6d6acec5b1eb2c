// What a submitter may say beside type and payload, and how it shows on the command.

import { expect, test } from 'vitest';
import { finish } from '../../db/agents.ts';
import type { Command } from '../../db/command-json.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { post, useServer } from '../support/server.ts';
import { row, startSession } from '../support/session.ts';

const database = useDatabase();
const server = useServer(database);

const DAYS_MS = 24 * 60 * 60 * 1_000;

async function idWith(options: object): Promise<string> {
  const response = await post(server().url, { type: 'DELAY', payload: { ms: 5 }, ...options });
  expect(response.status).toBe(201);
  const { commandId } = (await response.json()) as { commandId: string };
  return commandId;
}

async function submitWith(options: object): Promise<Command> {
  return await find(await idWith(options));
}

async function find(id: string): Promise<Command> {
  const response = await fetch(`${server().url}/commands/${id}`);
  return (await response.json()) as Command;
}

test('without options a command has the defaults', async () => {
  expect(await submitWith({})).toMatchObject({
    status: 'PENDING',
    failures: 0,
    losses: 0,
    maxAttempts: 3,
    backoff: { initialMs: 1_000, factor: 2, maxMs: 3_600_000 },
    delivery: 'at_least_once',
    timeoutMs: expect.any(Number),
    priority: 0,
    runAt: null,
    deadlineAt: null,
    queue: 'default',
    target: null,
  });
});

const options: [string, object][] = [
  ['one attempt', { maxAttempts: 1 }],
  ['a thousand attempts', { maxAttempts: 1_000 }],
  ['no pause before a retry', { backoff: { initialMs: 0, factor: 1, maxMs: 0 } }],
  [
    'the longest pauses',
    { backoff: { initialMs: 30 * DAYS_MS, factor: 1_000, maxMs: 30 * DAYS_MS } },
  ],
  ['a broken factor', { backoff: { initialMs: 250, factor: 1.5, maxMs: 60_000 } }],
  ['at most once', { delivery: 'at_most_once' }],
  ['at least once', { delivery: 'at_least_once' }],
  ['a millisecond', { timeoutMs: 1 }],
  ['a timeout of thirty days', { timeoutMs: 30 * DAYS_MS }],
  ['the lowest priority', { priority: -100 }],
  ['the highest priority', { priority: 100 }],
  ['everything', { maxAttempts: 7, delivery: 'at_most_once', timeoutMs: 1_234, priority: 5 }],
  ['the first queue', { queue: 'default' }],
  ['an agent that it is meant for', { target: { agentId: 'a.1_B-c' } }],
  ['an agent with the longest id', { target: { agentId: 'x'.repeat(64) } }],
];

// What a command's JSON shows in another way, or not at all.
const kept: [string, object, object][] = [
  ['no tags', { tags: [] }, { tags: [] }],
  ['twenty long tags', { tags: tags(20, 100) }, { tags: tags(20, 100) }],
  ['tags of any script', { tags: ['ü', '日本', 'a b', "'"] }, { tags: ['ü', '日本', 'a b', "'"] }],
  ['one tag twice', { tags: ['a', 'a'] }, { tags: ['a', 'a'] }],
  [
    'a hundred characters of four bytes',
    { tags: ['😀'.repeat(100)] },
    { tags: ['😀'.repeat(100)] },
  ],
  ['no metadata', { metadata: {} }, { metadata: {} }],
  [
    'any metadata',
    { metadata: { a: [null, { b: 1.5 }] } },
    { metadata: { a: [null, { b: 1.5 }] } },
  ],
  ['as much metadata as there may be', { metadata: large(0) }, { metadata: large(0) }],
  [
    'a key to be run under',
    { concurrencyKey: 'ß'.repeat(127) },
    { concurrency_key: 'ß'.repeat(127) },
  ],
  ['a key to be known by', { idempotencyKey: 'k 1' }, { idempotency_key: 'k 1' }],
];

function tags(count: number, length: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i).padStart(length, 'x'));
}

// 16 KiB of JSON and so many bytes more, in characters of two bytes.
function large(more: number): object {
  const spare = 16 * 1024 + more - '{"a":""}'.length;
  return { a: 'ü'.repeat(spare / 2) };
}

test.each(options)('%s is kept as it was said', async (_, option) => {
  expect(await submitWith(option)).toMatchObject(option);
});

test.each(kept)('%s: kept in the ledger', async (_, option, columns) => {
  expect(await row(database(), await idWith(option))).toMatchObject(columns);
});

test.each<[string, object]>([
  ['nothing', {}],
  ...options,
  ...kept.map(([name, option]): [string, object] => [name, option]),
  ['part of a backoff', { backoff: { factor: 3 } }],
  ['a delay', { delayMs: 86_400_000 }],
  ['no delay', { delayMs: 0 }],
  ['a time', { runAt: '2999-01-31T08:30:00.123456+02:00' }],
  ['a time that is past', { runAt: '2001-01-01T00:00:00Z' }],
  ['a deferred command with a key', { delayMs: 5_000, concurrencyKey: 'later' }],
])('%s: the same row, by REST and by SQL', async (_, option) => {
  const ledger = async (id: string) => {
    const { rows } = await database().pool.query<{ command: object }>(
      `select to_jsonb(c) - array['id', 'created_at', 'updated_at'] || jsonb_build_object(
         'run_at', case when $2 then to_jsonb(run_at - created_at) else to_jsonb(run_at) end
       ) as command
       from executor.commands c where id = $1`,
      [id, 'delayMs' in option],
    );
    return rows[0]?.command;
  };
  await emptyLedger(database());
  const byRest = await ledger(await idWith(option));
  await emptyLedger(database());
  const { rows } = await database().pool.query<{ id: string }>(
    `select executor.submit_command('DELAY', '{"ms": 5}', $1) as id`,
    [option],
  );
  expect(byRest).toBeDefined();
  expect(await ledger(rows[0]?.id ?? '')).toEqual(byRest);
});

test.each<[string, object, string]>([
  ['tags that are text', { tags: 'a' }, '#/tags'],
  ['tags that are null', { tags: null }, '#/tags'],
  ['tags that are an object', { tags: {} }, '#/tags'],
  ['twenty-one tags', { tags: tags(21, 3) }, '#/tags'],
  ['a hundred thousand tags', { tags: tags(100_000, 3) }, '#/tags'],
  ['an empty tag', { tags: ['a', ''] }, '#/tags/1'],
  ['a tag that is a number', { tags: [1] }, '#/tags/0'],
  ['a tag that is null', { tags: ['a', null] }, '#/tags/1'],
  ['a tag of 101 characters', { tags: ['a', 'b', 'x'.repeat(101)] }, '#/tags/2'],
  ['a tag of 101 characters of four bytes', { tags: ['😀'.repeat(101)] }, '#/tags/0'],
  ['a tag of a megabyte', { tags: ['x'.repeat(1_000_000)] }, '#/tags/0'],
  ['tags of 2,001 bytes', { tags: [...tags(19, 100), `${'x'.repeat(99)}ü`] }, '#/tags'],
  ['metadata that is text', { metadata: '{}' }, '#/metadata'],
  ['metadata that is a long text', { metadata: 'x'.repeat(20_000) }, '#/metadata'],
  ['metadata that is null', { metadata: null }, '#/metadata'],
  ['metadata that is an array', { metadata: [] }, '#/metadata'],
  ['metadata that is too large', { metadata: large(2) }, '#/metadata'],
  ['an empty concurrency key', { concurrencyKey: '' }, '#/concurrencyKey'],
  ['a concurrency key of 256 bytes', { concurrencyKey: 'ß'.repeat(128) }, '#/concurrencyKey'],
  ['a concurrency key that is null', { concurrencyKey: null }, '#/concurrencyKey'],
  ['an empty idempotency key', { idempotencyKey: '' }, '#/idempotencyKey'],
  ['an idempotency key of 256 bytes', { idempotencyKey: 'x'.repeat(256) }, '#/idempotencyKey'],
  ['an idempotency key that is a number', { idempotencyKey: 1 }, '#/idempotencyKey'],
  ['a queue that is null', { queue: null }, '#/queue'],
  ['a target that is text', { target: 'me' }, '#/target'],
  ['a target that is null', { target: null }, '#/target'],
  ['a target that is an array', { target: [] }, '#/target'],
  ['a target that names nobody', { target: {} }, '#/target/agentId'],
  ['a target that is no text', { target: { agentId: 7 } }, '#/target/agentId'],
  ['a target without an id', { target: { agentId: '' } }, '#/target/agentId'],
  ['a target with a long id', { target: { agentId: 'x'.repeat(65) } }, '#/target/agentId'],
  ['a target that is no id', { target: { agentId: "a';--" } }, '#/target/agentId'],
  ['a target that is more than an id', { target: { agentId: 'a', host: 'b' } }, '#/target/host'],
  ['a batch that it is not in', { batchId: '0198a0de-0000-7000-8000-000000000001' }, '#/batchId'],
  ['a command that it does not repeat', { retryOf: null }, '#/retryOf'],
])('%s is refused', async (_, option, pointer) => {
  const command = { type: 'DELAY', payload: { ms: 5 }, ...option };
  const problem = await expectProblem(await post(server().url, command), 400);
  expect(problem.code).toBe('invalid_command');
  expect(problem.errors).toEqual([{ pointer, detail: expect.any(String) }]);
});

test.each([
  [{ tags: ['a\0'] }, '#/tags/0'],
  [{ metadata: { a: '\ud800' } }, '#/metadata/a'],
  [{ concurrencyKey: '\0' }, '#/concurrencyKey'],
  [{ queue: '\0' }, '#/queue'],
  [{ target: { agentId: '\0' } }, '#/target/agentId'],
])('%j cannot be kept', async (option, pointer) => {
  const command = { type: 'DELAY', payload: { ms: 5 }, ...option };
  const problem = await expectProblem(await post(server().url, command), 400);
  expect(problem).toMatchObject({ code: 'unacceptable_json', errors: [{ pointer }] });
});

test.each(['', 'nope', 'Default', "';--", '__proto__', 'x'.repeat(300)])(
  'there is no queue %j',
  async (queue) => {
    const command = { type: 'DELAY', payload: { ms: 5 }, queue };
    const problem = await expectProblem(await post(server().url, command), 400);
    expect(problem).toMatchObject({ code: 'unknown_queue', errors: [{ pointer: '#/queue' }] });
    expect(problem.detail.length).toBeLessThan(200);
  },
);

test('a queue is known as soon as it is there, and the database knows when it is gone', async () => {
  const { pool } = database();
  const command = { type: 'DELAY', payload: { ms: 5 }, queue: 'fresh' };
  await expectProblem(await post(server().url, command), 400);
  await pool.query(`select executor.create_queue('fresh')`);
  expect((await post(server().url, command)).status).toBe(201);
  await emptyLedger(database());
  await pool.query(`delete from executor.queues where name = 'fresh'`);
  const problem = await expectProblem(await post(server().url, command), 400);
  expect(problem).toMatchObject({ code: 'unknown_queue', errors: [{ pointer: '#/queue' }] });
});

test('a command that is meant for an agent that nobody is waits, and is seen', async () => {
  await emptyLedger(database());
  await using session = await startSession(database(), 'somebody');
  const { status, target, agentId } = await submitWith({ target: { agentId: 'nobody' } });
  expect({ status, target, agentId }).toEqual({
    status: 'PENDING',
    target: { agentId: 'nobody' },
    agentId: null,
  });
  expect(await session.claim()).toEqual([]);
  const queue = await fetch(`${server().url}/queues/default`);
  expect(await queue.json()).toMatchObject({
    depth: 1,
    unclaimable: 1,
    unclaimableOf: [{ type: 'DELAY', agentId: 'nobody', depth: 1 }],
  });
});

test('a retried command is meant for the same agent', async () => {
  const id = await idWith({ target: { agentId: 'nobody' } });
  await fetch(`${server().url}/commands/${id}/cancel`, { method: 'POST' });
  const retried = await fetch(`${server().url}/commands/${id}/retry`, { method: 'POST' });
  const { commandId } = (await retried.json()) as { commandId: string };
  expect(await find(commandId)).toMatchObject({ target: { agentId: 'nobody' }, retryOf: id });
});

test('the second command of a concurrency key waits for the first', async () => {
  await emptyLedger(database());
  expect((await submitWith({ concurrencyKey: 'one' })).status).toBe('PENDING');
  expect((await submitWith({ concurrencyKey: 'one' })).status).toBe('BLOCKED');
  expect((await submitWith({ concurrencyKey: 'two' })).status).toBe('PENDING');
});

test('what a backoff leaves out has its default', async () => {
  const { backoff } = await submitWith({ backoff: { factor: 3 } });
  expect(backoff).toEqual({ initialMs: 1_000, factor: 3, maxMs: 3_600_000 });
  expect((await submitWith({ backoff: {} })).backoff.factor).toBe(2);
});

test('delayMs defers by so long after it was submitted', async () => {
  const { status, createdAt, runAt } = await submitWith({ delayMs: 30 * DAYS_MS });
  expect(status).toBe('SCHEDULED');
  const deferredMs = Date.parse(runAt ?? '') - Date.parse(createdAt);
  expect(Math.abs(deferredMs - 30 * DAYS_MS)).toBeLessThanOrEqual(1);
});

test.each([
  ['2999-01-31T08:30:00Z', '2999-01-31T08:30:00.000Z'],
  ['2999-01-31T08:30:00.123456789+02:00', '2999-01-31T06:30:00.123Z'],
  ['2996-02-29T00:00:00-14:59', '2996-02-29T14:59:00.000Z'],
])('runAt %s defers until then', async (runAt, expected) => {
  expect(await submitWith({ runAt })).toMatchObject({ status: 'SCHEDULED', runAt: expected });
});

test.each([{ delayMs: 0 }, { runAt: '2001-01-01T00:00:00+01:00' }])(
  '%o is claimable at once',
  async (options) => {
    const command = await submitWith(options);
    expect(command.status).toBe('PENDING');
    expect(command.runAt).not.toBeNull();
  },
);

test('a running command shows its deadline, a retried one its failures', async () => {
  await using session = await startSession(database());
  await database().pool.query('truncate executor.commands, executor_queue.job cascade');
  const { id } = await submitWith({ timeoutMs: 60_000 });
  const [claimed] = await session.claim(1);
  expect(claimed?.id).toBe(id);
  const { deadlineAt, startedAt } = await find(id);
  expect(Date.parse(deadlineAt ?? '') - Date.parse(startedAt ?? '')).toBe(60_000);
  const error = { code: 'executor_error', message: 'no luck', retryable: true };
  const report = { id, attempt: 1, outcome: 'failed', error } as const;
  expect(await finish(database().pool, session.session, [report])).toEqual(['accepted']);
  expect(await find(id)).toMatchObject({
    status: 'SCHEDULED',
    failures: 1,
    deadlineAt: null,
    attempts: [{ attempt: 1, outcome: 'failed' }],
  });
});

test('a list shows the same', async () => {
  const { id } = await submitWith({ backoff: { initialMs: 7 }, timeoutMs: 42 });
  const { attempts: _, ...command } = (await find(id)) as Command & { attempts: unknown };
  const response = await fetch(`${server().url}/commands?limit=1`);
  expect(await response.json()).toEqual([command]);
});
