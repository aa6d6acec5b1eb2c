// Cancelling and retrying many commands over REST: by id, or all that match.

import { beforeEach, describe, expect, test } from 'vitest';
import { v7 } from 'uuid';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { useServer } from '../support/server.ts';
import { startSession, submit as submitMany } from '../support/session.ts';
import { answer, steering } from '../support/steering.ts';

const database = useDatabase();
const server = useServer(database);
const { send, delay, submitWith, find, failed, statuses } = steering(database, server);

beforeEach(() => emptyLedger(database()));

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
