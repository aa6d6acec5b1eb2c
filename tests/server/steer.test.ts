// Cancelling and retrying over REST: one command, or many.

import { beforeEach, describe, expect, test } from 'vitest';
import { v7 } from 'uuid';
import { connect } from '../../db/connect.ts';
import { Gate } from '../../server/gate.ts';
import { walk } from '../../server/steering-walk.ts';
import { findCommandType, publishTypes } from '../../db/command-types.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { startProxy } from '../support/proxy.ts';
import { startServer, submit, useServer } from '../support/server.ts';
import { startSession, submit as submitMany } from '../support/session.ts';

const database = useDatabase();
const server = useServer(database);

beforeEach(() => emptyLedger(database()));

/** Sends a POST; without a body unless one is given. A string goes out as it stands. */
function send(path: string, body?: unknown, url = server().url): Promise<Response> {
  if (body === undefined) return fetch(url + path, { method: 'POST' });
  return fetch(url + path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

async function answer(response: Response, status = 200): Promise<Record<string, unknown>> {
  expect(response.status).toBe(status);
  return (await response.json()) as Record<string, unknown>;
}

const delay = (ms = 1) => submit(server().url, 'DELAY', { ms });

/** Submits a command with options; answers its id. */
async function submitWith(options: object): Promise<string> {
  const command = { type: 'DELAY', payload: { ms: 1 }, ...options };
  const { commandId } = await answer(await send('/commands', command), 201);
  return String(commandId);
}

async function find(id: string): Promise<Record<string, unknown>> {
  return await answer(await fetch(`${server().url}/commands/${id}`));
}

/** A command that FAILED. */
async function failed(options: object = {}): Promise<string> {
  await using session = await startSession(database());
  const id = await submitWith({ maxAttempts: 1, ...options });
  await session.fail(await session.claim());
  return id;
}

async function statuses(): Promise<Record<string, number>> {
  const { rows } = await database().pool.query<{ status: string; n: number }>(
    'select status, count(*)::int as n from executor.commands group by 1',
  );
  return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
}

describe('POST /commands/:id/cancel', () => {
  test.each([
    ['without a body', undefined],
    ['with an empty object', {}],
  ])('%s cancels what waits at once', async (_, body) => {
    const id = await delay();
    const cancelled = await answer(await send(`/commands/${id}/cancel`, body));
    expect(cancelled).toMatchObject({ id, status: 'CANCELLED', attempts: [] });
    expect(cancelled).toEqual(await find(id));
  });

  test('cancels what is deferred, and what waits for a concurrency key', async () => {
    await submitWith({ concurrencyKey: 'k' });
    for (const options of [{ delayMs: 60_000 }, { concurrencyKey: 'k' }]) {
      const id = await submitWith(options);
      expect(['SCHEDULED', 'BLOCKED']).toContain((await find(id))['status']);
      const cancelled = await answer(await send(`/commands/${id}/cancel`));
      expect(cancelled['status']).toBe('CANCELLED');
    }
  });

  test('asks what runs to end, as often as it is sent', async () => {
    await using session = await startSession(database());
    const id = await delay();
    const claimed = await session.claim();
    const first = await answer(await send(`/commands/${id}/cancel`), 202);
    const asked = expect.stringMatching(/^\d{4}-/);
    expect(first).toMatchObject({ id, status: 'RUNNING', cancelRequestedAt: asked });
    const second = await answer(await send(`/commands/${id}/cancel`), 202);
    expect(second['cancelRequestedAt']).toBe(first['cancelRequestedAt']);
    await session.report(claimed, 'cancelled');
    expect((await find(id))['status']).toBe('CANCELLED');
  });

  test('is refused for what is done', async () => {
    await using session = await startSession(database());
    const completed = await delay();
    await session.complete(await session.claim());
    const cancelled = await delay();
    await send(`/commands/${cancelled}/cancel`);
    for (const id of [completed, cancelled]) {
      const problem = await expectProblem(await send(`/commands/${id}/cancel`), 409);
      expect(problem).toMatchObject({ code: 'already_done', errors: [{ pointer: '#/path/id' }] });
    }
  });
});

describe('POST /commands/:id/retry', () => {
  test('repeats a FAILED command as a new one, and leads to it', async () => {
    const id = await failed({ priority: 7, tags: ['x'] });
    for (const slash of ['', '/']) {
      const response = await send(`/commands/${id}/retry${slash}`);
      const { commandId, retryOf } = await answer(response, 201);
      expect(retryOf).toBe(id);
      const location = new URL(response.headers.get('location') ?? '', response.url);
      expect(location.href).toBe(`${server().url}/commands/${String(commandId)}`);
      expect(await find(String(commandId))).toMatchObject({
        status: 'PENDING',
        retryOf: id,
        priority: 7,
        tags: ['x'],
      });
    }
  });

  test('repeats a CANCELLED one too, whatever the case of its id', async () => {
    const id = await delay();
    await send(`/commands/${id}/cancel`);
    const { retryOf } = await answer(await send(`/commands/${id.toUpperCase()}/retry`, {}), 201);
    expect(retryOf).toBe(id);
  });

  test('is refused for what has not failed', async () => {
    await using session = await startSession(database());
    const completed = await delay();
    await session.complete(await session.claim());
    for (const id of [completed, await delay()]) {
      const problem = await expectProblem(await send(`/commands/${id}/retry`), 409);
      expect(problem).toMatchObject({ code: 'not_failed', errors: [{ pointer: '#/path/id' }] });
    }
  });

  test('is refused when its type is gone', async () => {
    const id = await failed();
    const { pool, kysely } = database();
    const type = await findCommandType(kysely, 'DELAY');
    await pool.query(`delete from executor.command_types where type = 'DELAY'`);
    try {
      const problem = await expectProblem(await send(`/commands/${id}/retry`), 409);
      expect(problem).toMatchObject({ code: 'unknown_type', errors: [{ pointer: '#/path/id' }] });
      const many = await answer(await send('/commands/retry', { ids: [id] }));
      expect(many).toMatchObject({ refused: 1, results: [{ id, answer: 'refused' }] });
    } finally {
      await publishTypes(pool, [type!]);
    }
  });
});

describe.each(['cancel', 'retry'])('POST /commands/:id/%s', (verb) => {
  test.each([v7(), 'nope', '%00', "'%20or%201=1"])('of %s is 404', async (id) => {
    const problem = await expectProblem(await send(`/commands/${id}/${verb}`), 404);
    expect(problem).toMatchObject({ code: 'unknown_command', errors: [{ pointer: '#/path/id' }] });
  });

  test.each([
    ['{"force":true}', 400, '#/force'],
    ['[]', 400, '#'],
    ['null', 400, '#'],
    ['nonsense', 400, '#'],
    ['{"__proto__":1}', 400, '#/__proto__'],
  ])('refuses the body %s', async (body, status, pointer) => {
    const id = await delay();
    const problem = await expectProblem(await send(`/commands/${id}/${verb}`, body), status);
    expect(problem.errors).toMatchObject([{ pointer }]);
    expect((await find(id))['status']).toBe('PENDING');
  });

  test('refuses text, and takes an empty body of any type', async () => {
    const id = await failed();
    const url = `${server().url}/commands/${id}/${verb}`;
    await expectProblem(await fetch(url, { method: 'POST', body: 'text' }), 415);
    const response = await fetch(url, { method: 'POST', body: '' });
    expect(response.status).toBe(verb === 'cancel' ? 409 : 201);
  });

  test('refuses a query', async () => {
    const problem = await expectProblem(await send(`/commands/${v7()}/${verb}?force=1`), 400);
    expect(problem.errors).toMatchObject([{ pointer: '#/query/force' }]);
  });

  test('is all there is to do there', async () => {
    const response = await fetch(`${server().url}/commands/${v7()}/${verb}`);
    await expectProblem(response, 405);
    expect(response.headers.get('allow')).toBe('POST');
  });
});

describe('many by id', () => {
  test('cancel says what became of each, in order and once', async () => {
    await using session = await startSession(database());
    const running = await delay();
    await session.claim();
    const waiting = await delay();
    const unknown = v7();
    const ids = [unknown, waiting, running, waiting.toUpperCase()];
    const first = await answer(await send('/commands/cancel', { ids }));
    expect(first).toEqual({
      cancelled: 1,
      requested: 1,
      done: 0,
      unknown: 1,
      results: [
        { id: unknown, answer: 'unknown' },
        { id: waiting, answer: 'cancelled' },
        { id: running, answer: 'requested' },
      ],
    });
    const second = await answer(await send('/commands/cancel', { ids }));
    expect(second).toMatchObject({ cancelled: 0, requested: 1, done: 1, unknown: 1 });
  });

  test('retry leaves out what was retried before', async () => {
    const once = await failed();
    const waiting = await delay();
    const unknown = v7();
    const ids = [once, waiting, unknown, once];
    const first = await answer(await send('/commands/retry', { ids }));
    const results = first['results'] as { commandId: string }[];
    expect(first).toEqual({
      retried: 1,
      notFailed: 1,
      retriedBefore: 0,
      refused: 0,
      unknown: 1,
      results: [
        { id: once, answer: 'retried', commandId: expect.any(String) },
        { id: waiting, answer: 'not_failed' },
        { id: unknown, answer: 'unknown' },
      ],
    });
    expect(await find(results[0]!.commandId)).toMatchObject({ retryOf: once });
    const second = await answer(await send('/commands/retry', { ids }));
    expect(second).toMatchObject({
      retried: 0,
      retriedBefore: 1,
      results: [{ answer: 'retried_before', commandId: results[0]!.commandId }, {}, {}],
    });
  });

  test('a thousand go in one transaction', async () => {
    const ids = await submitMany(database(), 1_000);
    expect(await answer(await send('/commands/cancel', { ids }))).toMatchObject({
      cancelled: 1_000,
    });
    const { rows } = await database().pool.query(
      'select count(distinct xmin::text)::int as n from executor.commands',
    );
    expect(rows).toEqual([{ n: 1 }]);
    expect(await answer(await send('/commands/retry', { ids }))).toMatchObject({ retried: 1_000 });
    expect(await statuses()).toEqual({ CANCELLED: 1_000, PENDING: 1_000 });
  });

  test('those who retry the same at once retry it once', async () => {
    const ids = await submitMany(database(), 100);
    await send('/commands/cancel', { ids });
    const all = { filter: { type: 'DELAY' } };
    const bodies = [{ ids }, { ids: ids.toReversed() }, all, all];
    const counts = await Promise.all(
      bodies.map(async (body) => await answer(await send('/commands/retry', body))),
    );
    const sum = (name: string) => counts.reduce((total, one) => total + Number(one[name]), 0);
    expect([sum('retried'), sum('retriedBefore')]).toEqual([100, 300]);
    expect(await statuses()).toEqual({ CANCELLED: 100, PENDING: 100 });
  });

  test('one that cannot be retried does not keep the others from it', async () => {
    await database().pool.query(
      `insert into executor.command_types
         (type, description, payload_schema, result_schema, default_timeout)
       values ('SHORT_LIVED', 'For a moment.', '{}', '{}', '1 min')`,
    );
    const command = { type: 'SHORT_LIVED', payload: {} };
    const doomed = String((await answer(await send('/commands', command), 201))['commandId']);
    const ids = [...(await submitMany(database(), 6)), doomed];
    await send('/commands/cancel', { ids });
    await database().pool.query(`delete from executor.command_types where type = 'SHORT_LIVED'`);
    const retried = await answer(await send('/commands/retry', { ids }));
    expect(retried).toMatchObject({ retried: 6, refused: 1 });
    expect((retried['results'] as object[])[6]).toEqual({ id: doomed, answer: 'refused' });
  });
});

describe('many that match', () => {
  test('cancel takes what has not ended, and no more than matches', async () => {
    await using session = await startSession(database());
    const running = await submitWith({ tags: ['a'], priority: 100 });
    await session.claim(1);
    const scheduled = await submitWith({ tags: ['a', 'b'], delayMs: 60_000 });
    const pending = await submitWith({ tags: ['a'] });
    const other = await submitWith({ tags: ['b'] });
    const done = await submitWith({ tags: ['a'] });
    await send(`/commands/${done}/cancel`);
    const counts = await answer(await send('/commands/cancel', { filter: { tag: 'a' } }));
    expect(counts).toEqual({ cancelled: 2, requested: 1, done: 0, unknown: 0, more: false });
    for (const id of [scheduled, pending]) expect((await find(id))['status']).toBe('CANCELLED');
    expect(await find(running)).toMatchObject({ cancelRequestedAt: expect.any(String) });
    expect((await find(other))['status']).toBe('PENDING');
  });

  test('retry takes what FAILED or was CANCELLED, each once', async () => {
    const ids = [await failed({ tags: ['a'] }), await submitWith({ tags: ['a'] })];
    await send(`/commands/${ids[1]}/cancel`);
    await failed({ tags: ['b'] });
    await submitWith({ tags: ['a'] });
    const filter = { tag: 'a' };
    const first = await answer(await send('/commands/retry', { filter }));
    expect(first).toEqual({
      retried: 2,
      notFailed: 0,
      retriedBefore: 0,
      refused: 0,
      unknown: 0,
      more: false,
    });
    const second = await answer(await send('/commands/retry', { filter }));
    expect(second).toMatchObject({ retried: 0, retriedBefore: 2, more: false });
    const failedOnly = { filter: { status: 'FAILED' } };
    expect(await answer(await send('/commands/retry', failedOnly))).toMatchObject({
      retried: 1,
      retriedBefore: 1,
    });
  });

  test('every member of the filter narrows, and all of them together', async () => {
    const origin = await failed();
    await send('/commands/retry', { ids: [origin] });
    const batch = { commands: [{ type: 'DELAY', payload: { ms: 1 } }] };
    const { batchId } = await answer(await send('/commands/batch', batch), 201);
    await submitWith({ tags: ['a'] });
    await delay();
    const past = '2020-01-01T00:00:00Z';
    const future = '2999-01-01T00:00:00+01:00';
    const cancelledBy = async (filter: object) => {
      const counts = await answer(await send('/commands/cancel', { filter }));
      return Number(counts['cancelled']);
    };
    for (const filter of [
      { type: 'HTTP_GET_JSON' },
      { queue: 'other' },
      { agentId: 'nobody' },
      { createdBefore: past },
      { createdAfter: future },
      { status: ['SCHEDULED', 'BLOCKED'] },
      { tag: 'a', batchId },
    ])
      expect(await cancelledBy(filter)).toBe(0);
    expect(await cancelledBy({ batchId })).toBe(1);
    expect(await cancelledBy({ retryOf: origin })).toBe(1);
    expect(await cancelledBy({ tag: 'a', status: 'PENDING', queue: 'default' })).toBe(1);
    expect(await cancelledBy({ type: 'DELAY', createdAfter: past, createdBefore: future })).toBe(1);
  });

  test('thousands go page by page, and what comes meanwhile is left alone', async () => {
    await submitMany(database(), 2_500);
    const cancelling = send('/commands/cancel', { filter: { type: 'DELAY' } });
    const { cancelled, more } = await answer(await cancelling);
    expect({ cancelled, more }).toEqual({ cancelled: 2_500, more: false });
    const { rows } = await database().pool.query(
      'select count(distinct xmin::text)::int as n from executor.commands',
    );
    expect(rows).toEqual([{ n: 3 }]);
    // What a retry creates is of the same type, and would match a second time if it were looked at.
    const filter = { type: 'DELAY', status: ['CANCELLED', 'FAILED'] };
    expect(await answer(await send('/commands/retry', { filter }))).toMatchObject({
      retried: 2_500,
      retriedBefore: 0,
    });
    expect(await statuses()).toEqual({ CANCELLED: 2_500, PENDING: 2_500 });
  });

  test('what blocks another is cancelled after it', async () => {
    for (let i = 0; i < 5; i += 1) await submitWith({ concurrencyKey: 'k' });
    expect(await answer(await send('/commands/cancel', { filter: { type: 'DELAY' } }))).toEqual({
      cancelled: 5,
      requested: 0,
      done: 0,
      unknown: 0,
      more: false,
    });
  });
});

const MINUTE_MS = 60_000;
const PATIENT = { timeout: 15_000 };

/** Steers nothing: so many commands, that all get one answer. */
function pages(total: number, answer: 'changed' | 'left') {
  let picked = 0;
  return {
    answers: ['changed', 'left'] as const,
    changes: ['changed'] as const,
    pick: async (limit: number) => {
      const ids = Array.from({ length: Math.min(limit, total - picked) }, () => v7());
      picked += ids.length;
      const isLast = ids.length < limit;
      return { ids, ...(!isLast && { next: { createdAt: '', id: '' } }) };
    },
    steer: async (ids: string[]) => ids.map(() => answer),
  };
}

function visit() {
  return {
    gate: new Gate({ maxInside: 1, maxAtWork: 1 }),
    gone: new AbortController().signal,
  };
}

describe('how far one request goes', () => {
  test('it changes so many and no more, and says that there is more', async () => {
    const limits = { maxChanged: 2_300, maxMs: MINUTE_MS };
    const { counts, more } = await walk(pages(5_000, 'changed'), visit(), limits);
    expect({ ...counts, more }).toEqual({ changed: 2_300, left: 0, more: true });
  });

  test('it takes so long and no longer, once something changed', async () => {
    const limits = { maxChanged: 100_000, maxMs: 0 };
    const late = await walk(pages(5_000, 'changed'), visit(), limits);
    expect(late).toEqual({ counts: { changed: 1_000, left: 0 }, more: true });
    const leftAlone = await walk(pages(5_000, 'left'), visit(), limits);
    expect(leftAlone).toEqual({ counts: { changed: 0, left: 5_000 }, more: false });
  });

  test('it ends when nobody waits for it any more', async () => {
    const { counts } = await walk(pages(5_000, 'changed'), {
      ...visit(),
      gone: AbortSignal.abort(),
    });
    expect(counts.changed).toBe(0);
  });

  test('the server goes no further when its client hangs up', async () => {
    await using own = await startServer(database());
    await submitMany(database(), 5_000);
    const { pool } = database();
    const holder = await pool.connect();
    await holder.query('begin; select from executor.commands order by id desc limit 1 for update');
    const abort = new AbortController();
    const cancelling = fetch(`${own.url}/commands/cancel`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{"filter":{"type":"DELAY"}}',
      signal: abort.signal,
    });
    const waiting = `select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`;
    await expect.poll(async () => (await pool.query(waiting)).rowCount, PATIENT).toBe(1);
    abort.abort();
    await expect(cancelling).rejects.toThrow('aborted');
    // Answered after the server has seen the other connection go.
    expect((await fetch(`${own.url}/health`)).status).toBe(200);
    await holder.query('commit');
    holder.release();
    const isOver = () => own.logged.some(({ path }) => path === '/commands/cancel');
    await expect.poll(isOver, PATIENT).toBe(true);
    expect(await statuses()).toEqual({ CANCELLED: 1_000, PENDING: 4_000 });
  });
});

const many = Array.from({ length: 1_001 }, () => v7());
const filter = (given: unknown) => ({ filter: given });

describe.each(['cancel', 'retry'])('POST /commands/%s refuses', (verb) => {
  test.each([
    ['no body', '', 'empty_body', '#'],
    ['an empty object', {}, 'invalid_body', '#'],
    ['an array', [], 'invalid_body', '#'],
    ['both', { ids: [v7()], filter: { type: 'DELAY' } }, 'invalid_body', '#'],
    ['something else', { all: true }, 'invalid_body', '#/all'],
    ['no ids', { ids: [] }, 'invalid_body', '#/ids'],
    ['one id', { ids: v7() }, 'invalid_body', '#/ids'],
    ['1,001 ids', { ids: many }, 'invalid_body', '#/ids'],
    ['what is no id', { ids: [v7(), 'x'] }, 'invalid_body', '#/ids/1'],
    ['a number for an id', { ids: [1] }, 'invalid_body', '#/ids/0'],
    ['an empty filter', filter({}), 'invalid_body', '#/filter'],
    ['a filter that is none', filter('all'), 'invalid_body', '#/filter'],
    ['an unknown member', filter({ color: 'red' }), 'invalid_body', '#/filter/color'],
    ['an unknown status', filter({ status: 'DONE' }), 'invalid_body', '#/filter/status'],
    ['a status of the others', filter({ status: 'COMPLETED' }), 'invalid_body', '#/filter/status'],
    ['no status', filter({ status: [] }), 'invalid_body', '#/filter/status'],
    ['an empty type', filter({ type: '' }), 'invalid_body', '#/filter/type'],
    ['a batch that is none', filter({ batchId: 'x' }), 'invalid_body', '#/filter/batchId'],
    [
      'a time that is none',
      filter({ createdAfter: 'now' }),
      'invalid_body',
      '#/filter/createdAfter',
    ],
    ['a limit', filter({ type: 'DELAY', limit: 1 }), 'invalid_body', '#/filter/limit'],
    ['NUL', filter({ tag: '\0' }), 'unacceptable_json', '#/filter/tag'],
  ])('%s', async (_, body, code, pointer) => {
    const id = await delay();
    const problem = await expectProblem(await send(`/commands/${verb}`, body), 400);
    expect({ code: problem.code, pointer: problem.errors[0]?.pointer }).toEqual({ code, pointer });
    expect((await find(id))['status']).toBe('PENDING');
  });
});

async function throughProxy<T>(
  use: (url: string, cutReplyTo: (statement: RegExp) => Promise<void>) => Promise<T>,
): Promise<T> {
  await using proxy = await startProxy(database().url);
  const away = connect(proxy.url, { applicationName: 'proxied', max: 2 });
  try {
    await using own = await startServer(away);
    return await use(own.url, (statement) => proxy.cutReplyTo(statement));
  } finally {
    await away.close();
  }
}

describe('a COMMIT whose answer got lost', () => {
  test('does not turn what was cancelled into a conflict', async () => {
    const id = await delay();
    await throughProxy(async (url, cutReplyTo) => {
      const cut = cutReplyTo(/cancel_commands/);
      const cancelled = await answer(await send(`/commands/${id}/cancel`, undefined, url));
      await cut;
      expect(cancelled['status']).toBe('CANCELLED');
    });
  });

  test('retries nothing twice', async () => {
    const ids = [await failed(), await failed()];
    await throughProxy(async (url, cutReplyTo) => {
      const cut = cutReplyTo(/retry_commands/);
      await answer(await send(`/commands/${ids[0]}/retry`, undefined, url), 201);
      await cut;
      const cutAgain = cutReplyTo(/retry_commands/);
      const many = await answer(await send('/commands/retry', { ids }, url));
      await cutAgain;
      expect(many).toMatchObject({ retried: 1, retriedBefore: 1 });
    });
    expect(await statuses()).toEqual({ FAILED: 2, PENDING: 2 });
  });
});
