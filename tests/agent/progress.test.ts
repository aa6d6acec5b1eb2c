// What executors say while they run, from their mouth to the ledger.

import { Client } from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ExecutorContext } from '../../agent/executors/executor.ts';
import { expectStatus, runAgent } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { submit } from '../support/session.ts';

const database = useDatabase();

interface Sent {
  atMs: number;
  reports: { id: string; lines: unknown[] }[];
}

/** Every statement that took what executors said. */
let sent: Sent[];

beforeEach(() => {
  sent = [];
  const query = Reflect.get(Client.prototype, 'query') as (...args: unknown[]) => unknown;
  vi.spyOn(Client.prototype, 'query').mockImplementation(function spy(this: Client, ...args) {
    const [text, values] = args as unknown[];
    if (typeof text === 'string' && text.includes('executor.report_progress')) {
      const reports = JSON.parse(String((values as unknown[])[1])) as Sent['reports'];
      sent.push({ atMs: performance.now(), reports });
    }
    return query.apply(this, args);
  });
});

afterEach(async () => {
  vi.restoreAllMocks();
  await database().pool.query('truncate executor.commands, executor_queue.job cascade');
});

async function progressOf(id: string | undefined): Promise<unknown> {
  const { rows } = await database().pool.query(
    'select attempt, progress, message from executor.progress where command_id = $1',
    [id],
  );
  return rows[0];
}

async function linesOf(id: string | undefined): Promise<string[]> {
  const { rows } = await database().pool.query<{ line_no: number; line: string }>(
    'select line_no, line from executor.command_logs where command_id = $1 order by line_no',
    [id],
  );
  expect(rows.map(({ line_no: no }) => no)).toEqual(rows.map((_, i) => i + 1));
  return rows.map(({ line }) => line);
}

/** Has one command say this, and waits until it has completed. */
async function speak(say: (context: ExecutorContext) => void): Promise<string | undefined> {
  await using _agent = await runAgent(database(), (_payload, context) => {
    say(context);
    return Promise.resolve({});
  });
  const [id] = await submit(database());
  await expectStatus(database(), 'COMPLETED', 1);
  return id;
}

test('what an executor says can be seen while it runs', async () => {
  const gate = Promise.withResolvers<void>();
  await using _agent = await runAgent(database(), async (_payload, { progress, print }) => {
    print('first');
    progress(0.25, 'a quarter');
    print('second');
    await gate.promise;
  });
  const [id] = await submit(database());
  await vi.waitFor(async () =>
    expect(await progressOf(id)).toEqual({ attempt: 1, progress: 0.25, message: 'a quarter' }),
  );
  expect(await linesOf(id)).toEqual(['first', 'second']);
  gate.resolve();
  await expectStatus(database(), 'COMPLETED', 1);
});

test('what it says last is there before its result is', async () => {
  const id = await speak(({ progress, print }) => {
    progress(0.5, 'half');
    print('nearly');
    progress(1);
  });
  expect(await progressOf(id)).toEqual({ attempt: 1, progress: 1, message: null });
  expect(await linesOf(id)).toEqual(['nearly']);
  const { rows } = await database().pool.query(
    `select every(logged_at < finished_at) as before from executor.commands
     join executor.command_logs on command_id = id`,
  );
  expect(rows).toEqual([{ before: true }]);
});

test('so it is when its agent gives it back', async () => {
  const started = Promise.withResolvers<void>();
  const agent = await runAgent(database(), (_payload, { print, signal }) => {
    signal.addEventListener('abort', () => print('interrupted'));
    started.resolve();
    return new Promise(() => {});
  });
  const [id] = await submit(database());
  await started.promise;
  expect(await agent.stop(0)).toBe(true);
  await expectStatus(database(), 'PENDING', 1);
  expect(await linesOf(id)).toEqual(['interrupted']);
});

test('a million calls in a loop are a statement or two, and a thousand lines', async () => {
  const id = await speak(({ progress, print }) => {
    for (let i = 1; i <= 1_000_000; i += 1) {
      progress(i / 1_000_000, `step ${i}`);
      print(`line ${i}`);
    }
  });
  expect(sent.length).toBeLessThanOrEqual(2);
  expect(await progressOf(id)).toMatchObject({ progress: 1, message: 'step 1000000' });
  const lines = await linesOf(id);
  expect(lines).toHaveLength(1_000);
  expect(lines.at(-2)).toBe('line 999');
  expect(lines.at(-1)).toBe('… this line and whatever came after it was left out');
});

test('whatever it is, saying it does no harm, and what can be kept of it is kept', async () => {
  const thrower = new Proxy({}, { get: () => expect.fail('looked into') });
  const id = await speak((context) => {
    const print = context.print as (line: unknown) => void;
    const progress = context.progress as (...args: unknown[]) => void;
    print('nul \0, lone \uD800 and \uDC00, whole 😀');
    print('x'.repeat(50_000_000));
    print('');
    for (const odd of [undefined, null, 7, 7n, Symbol('s'), { a: 1 }, thrower, new Error('e')])
      print(odd);
    for (const odd of [Number.NaN, Infinity, -1, 7n, '0.5', undefined, thrower, Symbol('s')])
      progress(odd, odd);
    progress(Number.NaN, `\0${'y'.repeat(5_000_000)}`);
  });
  const lines = await linesOf(id);
  expect(lines[0]).toBe('nul \uFFFD, lone \uFFFD and \uFFFD, whole 😀');
  expect(lines[1]).toBe(`${'x'.repeat(1_999)}…`);
  expect(lines.slice(2, 8)).toEqual(['', 'undefined', 'null', '7', '7n', 'Symbol(s)']);
  expect(lines.slice(8)).toEqual(['{ a: 1 }', expect.any(String), 'e']);
  expect(await progressOf(id)).toMatchObject({
    progress: null,
    message: `\uFFFD${'y'.repeat(498)}…`,
  });
});

test.each([
  [7, 1],
  [Infinity, 1],
  [-0.5, 0],
  [0.75, 0.75],
])('progress %d is %d', async (said, stored) => {
  const id = await speak(({ progress }) => progress(said, 'm'));
  expect(await progressOf(id)).toEqual({ attempt: 1, progress: stored, message: 'm' });
});

test('however many speak, it is one statement for all, and at most one in 250 ms', async () => {
  const gate = Promise.withResolvers<void>();
  await using _agent = await runAgent(database(), async (_payload, { progress, signal }) => {
    const talking = setInterval(() => progress(Math.random()), 5);
    signal.addEventListener('abort', () => clearInterval(talking));
    await gate.promise;
    clearInterval(talking);
  });
  await submit(database(), 10);
  await vi.waitFor(() => expect(sent.length).toBeGreaterThanOrEqual(5), 10_000);
  const during = [...sent];
  gate.resolve();
  await expectStatus(database(), 'COMPLETED', 10);
  const gapsMs = during.slice(1).map(({ atMs }, i) => atMs - during[i]!.atMs);
  expect(Math.min(...gapsMs)).toBeGreaterThan(200);
  expect(during.at(-1)?.reports).toHaveLength(10);
});

test('where nobody says anything nothing is sent', async () => {
  await speak(() => {});
  expect(sent).toEqual([]);
});

test('an executor that runs on after its attempt has ended speaks to nobody', async () => {
  const contexts: ExecutorContext[] = [];
  await using _agent = await runAgent(database(), (_payload, context) => {
    contexts.push(context);
    return new Promise(() => {});
  });
  const [id] = await submit(database());
  await vi.waitFor(() => expect(contexts).toHaveLength(1), 10_000);
  await database().pool.query('select executor.cancel_command($1)', [id]);
  await expectStatus(database(), 'CANCELLED', 1);
  contexts[0]?.print('still here');
  contexts[0]?.progress(0.5);
  const [other] = await submit(database());
  // A wake-up that is missed costs a beat.
  await vi.waitFor(() => expect(contexts).toHaveLength(2), 10_000);
  contexts[1]?.print('heard');
  await vi.waitFor(async () => expect(await linesOf(other)).toEqual(['heard']));
  expect(await linesOf(id)).toEqual([]);
  expect(sent.flatMap(({ reports }) => reports)).toMatchObject([{ id: other }]);
});

test('a command that somebody keeps locked holds nobody up, and its lines come later', async () => {
  const [locked, free] = await submit(database(), 2);
  const contexts = new Map<string, ExecutorContext>();
  const gate = Promise.withResolvers<void>();
  await using _agent = await runAgent(database(), (_payload, context) => {
    contexts.set(context.commandId, context);
    return gate.promise;
  });
  await vi.waitFor(() => expect(contexts.size).toBe(2), 10_000);
  const holder = new Client(database().url);
  await holder.connect();
  await holder.query('begin');
  await holder.query('select from executor.commands where id = $1 for update', [locked]);
  contexts.get(locked!)?.print('in the dark');
  contexts.get(free!)?.print('in the light');
  await vi.waitFor(async () => expect(await linesOf(free)).toEqual(['in the light']));
  expect(await linesOf(locked)).toEqual([]);
  await holder.end();
  await vi.waitFor(async () => expect(await linesOf(locked)).toEqual(['in the dark']));
  gate.resolve();
  await expectStatus(database(), 'COMPLETED', 2);
});
