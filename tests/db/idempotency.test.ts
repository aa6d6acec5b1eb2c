// Idempotency keys: the same key stands for the same command, whoever submits, however often, and at
// whatever moment.

import { DatabaseError, type Pool } from 'pg';
import { beforeEach, describe, expect, test } from 'vitest';
import { v7 } from 'uuid';
import { connect } from '../../db/connect.ts';
import { tick } from '../../db/recovery.ts';
import {
  expectWaiting,
  item,
  openTransaction,
  submitBatch,
  type Item,
} from '../support/batches.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { startSession } from '../support/session.ts';

const database = useDatabase();

beforeEach(() => emptyLedger(database()));

const pool = () => database().pool;

async function countCommands(): Promise<number> {
  const { rows } = await pool().query<{ count: number }>(
    'select count(*)::int as count from executor.commands',
  );
  return rows[0]?.count ?? NaN;
}

/** Makes every key as old as this. */
async function age(interval: string): Promise<void> {
  await pool().query('update executor.idempotency_keys set created_at = now() - $1::interval', [
    interval,
  ]);
}

describe('the same key', () => {
  test('with the same submission is the same command', async () => {
    const first = item({ idempotencyKey: 'k' });
    const again = { ...first, id: v7() };
    expect(await submitBatch(pool(), [first])).toEqual([first.id]);
    expect(await submitBatch(pool(), [item(), again])).toEqual([expect.any(String), first.id]);
    expect(await countCommands()).toBe(2);
  });

  test('stands for its command also when that is done', async () => {
    await using session = await startSession(database());
    const first = item({ idempotencyKey: 'k' });
    await submitBatch(pool(), [first]);
    await session.complete(await session.claim());
    expect(await submitBatch(pool(), [{ ...first, id: v7() }])).toEqual([first.id]);
    expect(await session.claim()).toEqual([]);
  });

  test('twice in a batch is one command', async () => {
    const first = item({ idempotencyKey: 'k' });
    const batch = [first, item(), { ...first, id: v7() }, { ...first, id: v7() }];
    expect(await submitBatch(pool(), batch)).toEqual([first.id, batch[1]?.id, first.id, first.id]);
    expect(await countCommands()).toBe(2);
  });

  test('with the same id, as after a COMMIT whose outcome is unknown, is no replay', async () => {
    const batch = [item({ idempotencyKey: 'a' }), item(), item({ idempotencyKey: 'b' })];
    const ids = batch.map(({ id }) => id);
    expect(await submitBatch(pool(), batch)).toEqual(ids);
    expect(await submitBatch(pool(), batch)).toEqual(ids);
    expect(await countCommands()).toBe(3);
  });

  test('does not mind how the submission is written, nor its id or batch', async () => {
    const payload = { b: [1, { c: null }], a: 'x' };
    const first = item({ idempotencyKey: 'k', payload, tags: ['t'], batchId: v7() });
    await submitBatch(pool(), [first]);
    const again = {
      batchId: v7(),
      tags: ['t'],
      payload: { a: 'x', b: [1, { c: null }] },
      type: first.type,
      idempotencyKey: 'k',
      id: v7(),
    };
    expect(await submitBatch(pool(), [again])).toEqual([first.id]);
  });

  test.each([
    ['another payload', { payload: { ms: 1 } }],
    ['another type', { type: 'HTTP_GET_JSON' }],
    ['another option', { priority: 1 }],
    ['another concurrency key', { concurrencyKey: 'c' }],
  ])('with %s is refused, and the whole batch with it', async (_name, change) => {
    const first = item({ idempotencyKey: 'k' });
    await submitBatch(pool(), [first]);
    const other = { ...first, id: v7(), ...change };
    const batch = [item({ idempotencyKey: 'j' }), other];
    await expect(submitBatch(pool(), batch)).rejects.toMatchObject({
      code: 'ZX006',
      message: expect.stringContaining(`'k'`) as unknown,
    });
    expect(await countCommands()).toBe(1);
    // The key that came with it is free.
    await submitBatch(pool(), [item({ idempotencyKey: 'j', priority: 9 })]);
  });

  test('with another submission in one batch is refused', async () => {
    const batch = [item({ idempotencyKey: 'k' }), item({ idempotencyKey: 'k', priority: 1 })];
    await expect(submitBatch(pool(), batch)).rejects.toMatchObject({ code: 'ZX006' });
    expect(await countCommands()).toBe(0);
  });

  test.each([
    ['empty', ''],
    ['of 256 bytes', 'ä'.repeat(128)],
  ])('that is %s is refused', async (_name, idempotencyKey) => {
    await expect(submitBatch(pool(), [item({ idempotencyKey })])).rejects.toMatchObject({
      code: '23514',
    });
  });

  test('of 255 bytes, or of odd characters, is a key', async () => {
    for (const idempotencyKey of ['x'.repeat(255), `'; drop --`, '\u2028\t\\', '😀']) {
      const first = item({ idempotencyKey });
      await submitBatch(pool(), [first]);
      expect(await submitBatch(pool(), [{ ...first, id: v7() }])).toEqual([first.id]);
    }
  });
});

describe('a key that another transaction is taking', () => {
  test('is refused as in use after about a second, and stalls no batch without it', async () => {
    await using psql = await openTransaction(pool());
    const first = item({ idempotencyKey: 'k' });
    await submitBatch(psql.client, [first]);

    const startedAt = performance.now();
    const elapsed = () => performance.now() - startedAt;
    const refused = submitBatch(pool(), [item({ idempotencyKey: 'j' }), { ...first, id: v7() }]);
    // oxlint-disable-next-line vitest/valid-expect -- awaited below
    const said = expect(refused).rejects.toMatchObject({
      code: 'ZX007',
      message: expect.stringContaining(`'k'`) as unknown,
    });
    await expectWaiting(pool());
    await submitBatch(pool(), [item(), item({ idempotencyKey: 'other' })]);
    expect(elapsed()).toBeLessThan(900);
    // It shares a key with the one that waits, not with the open transaction.
    await submitBatch(pool(), [item({ idempotencyKey: 'j' })]);
    await said;
    expect(elapsed()).toBeGreaterThan(900);
    expect(elapsed()).toBeLessThan(5_000);

    await psql.commit();
    expect(await submitBatch(pool(), [{ ...first, id: v7() }])).toEqual([first.id]);
  });

  test('is known as soon as that one commits', async () => {
    await using psql = await openTransaction(pool());
    const first = item({ idempotencyKey: 'k' });
    await submitBatch(psql.client, [first]);
    const again = submitBatch(pool(), [{ ...first, id: v7() }]);
    await expectWaiting(pool());
    await psql.commit();
    expect(await again).toEqual([first.id]);
    expect(await countCommands()).toBe(1);
  });

  test('is free as soon as that one rolls back', async () => {
    await using psql = await openTransaction(pool());
    const first = item({ idempotencyKey: 'k' });
    await submitBatch(psql.client, [first]);
    const second = { ...first, id: v7(), priority: 1 };
    const answer = submitBatch(pool(), [second]);
    await expectWaiting(pool());
    await psql.rollback();
    expect(await answer).toEqual([second.id]);
    expect(await countCommands()).toBe(1);
  });

  test('is waited for by a batch of which it holds none, for a second in all', async () => {
    await using psql = await openTransaction(pool());
    const taken = Array.from({ length: 5 }, (_, i) => item({ idempotencyKey: `k${i}` }));
    await submitBatch(psql.client, taken);
    const startedAt = performance.now();
    const again = taken.map((command) => ({ ...command, id: v7() }));
    await expect(submitBatch(pool(), again)).rejects.toMatchObject({ code: 'ZX007' });
    expect(performance.now() - startedAt).toBeLessThan(2_500);
  });
});

describe('after 24 hours', () => {
  test('a key is free for another submission', async () => {
    const first = item({ idempotencyKey: 'k' });
    await submitBatch(pool(), [first]);
    await age('23:59:50');
    expect(await submitBatch(pool(), [{ ...first, id: v7() }])).toEqual([first.id]);
    await age('24:00:01');
    const other = { ...first, id: v7(), priority: 1 };
    expect(await submitBatch(pool(), [other])).toEqual([other.id]);
    expect(await submitBatch(pool(), [{ ...other, id: v7() }])).toEqual([other.id]);
    expect(await countCommands()).toBe(2);
  });

  test('keys are purged, the others are not', async () => {
    await submitBatch(pool(), [item({ idempotencyKey: 'old' }), item({ idempotencyKey: 'older' })]);
    await age('24:00:01');
    const young = item({ idempotencyKey: 'young' });
    await submitBatch(pool(), [young]);
    const purge = async (limit: number) => {
      const { rows } = await pool().query('select executor.purge($1) as purged', [limit]);
      return rows;
    };
    expect(await purge(1)).toEqual([{ purged: 1 }]);
    expect(await purge(10)).toEqual([{ purged: 1 }]);
    expect(await purge(10)).toEqual([{ purged: 0 }]);
    expect(await submitBatch(pool(), [{ ...young, id: v7() }])).toEqual([young.id]);
    const fresh = item({ idempotencyKey: 'old', priority: 5 });
    expect(await submitBatch(pool(), [fresh])).toEqual([fresh.id]);
  });

  test('the tick purges, and leaves alone what a submission is just taking again', async () => {
    const first = item({ idempotencyKey: 'k' });
    await submitBatch(pool(), [first]);
    await age('24:00:01');
    await using psql = await openTransaction(pool());
    const again = { ...first, id: v7() };
    await submitBatch(psql.client, [again]);
    await pool().query(`update executor.clock set ticked_at = '-infinity'`);
    await tick(pool());
    await psql.commit();
    expect(await submitBatch(pool(), [{ ...first, id: v7() }])).toEqual([again.id]);
  });
});

const many = () => connect(database().url, { applicationName: 'test', max: 50 });

/** As clients do when a key is in use: again, with the same. */
async function submitPatiently(wide: Pool, batch: Item[]): Promise<string[]> {
  for (;;) {
    try {
      return await submitBatch(wide, batch);
    } catch (error) {
      if (!(error instanceof DatabaseError) || error.code !== 'ZX007') throw error;
    }
  }
}

describe('fifty at once', () => {
  test('with one key are one command', async () => {
    const fifty = many();
    const { pool: wide } = fifty;
    const batches = Array.from({ length: 50 }, () => [item({ idempotencyKey: 'k' }), item()]);
    const answers = await Promise.all(batches.map((batch) => submitPatiently(wide, batch)));
    expect(new Set(answers.map(([id]) => id)).size).toBe(1);
    expect(await countCommands()).toBe(51);
    await fifty.close();
  });

  test('with overlapping keys in any order do not deadlock, and each key is one command', async () => {
    const fifty = many();
    const { pool: wide } = fifty;
    const keys = Array.from({ length: 60 }, (_, i) => `key ${i}`);
    for (let round = 0; round < 4; round += 1) {
      const batches = Array.from({ length: 50 }, () =>
        shuffled(keys)
          .slice(0, 15)
          .map((key) => item({ idempotencyKey: `${round} ${key}`, tags: [key] })),
      );
      const answers = await Promise.all(batches.map((batch) => submitPatiently(wide, batch)));
      const commands = new Map<unknown, Set<string | undefined>>();
      batches.flat().forEach(({ idempotencyKey }, i) => {
        const ids = commands.get(idempotencyKey) ?? new Set();
        commands.set(idempotencyKey, ids.add(answers.flat()[i]));
      });
      expect([...commands.values()].filter((ids) => ids.size !== 1)).toEqual([]);
    }
    expect(await countCommands()).toBe(240);
    await fifty.close();
  });

  test('some of which roll back, leave one command a key', async () => {
    const fifty = many();
    const { pool: wide } = fifty;
    const keys = Array.from({ length: 10 }, (_, i) => `key ${i}`);
    const submitOrNot = async (i: number) => {
      const batch = shuffled(keys).map((idempotencyKey) => item({ idempotencyKey }));
      if (i % 3 > 0) return await submitPatiently(wide, batch);
      const client = await wide.connect();
      await client.query('begin');
      await submitBatch(client, batch).catch(() => {});
      await client.query('rollback');
      client.release();
      return [];
    };
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => submitOrNot(i)));
    expect(new Set(answers.flat()).size).toBe(keys.length);
    expect(await countCommands()).toBe(keys.length);
    await fifty.close();
  });
});

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((one) => ({ one, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ one }) => one);
}
