// What a submitter may say beside type and payload, and how it shows on the command.

import { expect, test } from 'vitest';
import { finish } from '../../db/agents.ts';
import type { Command } from '../../db/command-json.ts';
import { useDatabase } from '../support/database.ts';
import { post, useServer } from '../support/server.ts';
import { startSession } from '../support/session.ts';

const database = useDatabase();
const server = useServer(database);

const DAYS_MS = 24 * 60 * 60 * 1_000;

async function submitWith(options: object): Promise<Command> {
  const response = await post(server().url, { type: 'DELAY', payload: { ms: 5 }, ...options });
  expect(response.status).toBe(201);
  const { commandId } = (await response.json()) as { commandId: string };
  return await find(commandId);
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
  });
});

test.each<[string, object]>([
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
])('%s is kept as it was said', async (_, options) => {
  expect(await submitWith(options)).toMatchObject(options);
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
  await database().pool.query('truncate executor.commands, executor.attempts, executor_queue.job');
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
