// Cancelling and retrying, by the SQL functions that psql and the server call.

import { beforeEach, describe, expect, test } from 'vitest';
import { v7 } from 'uuid';
import { expectWaiting } from '../support/batches.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { startSession, submit } from '../support/session.ts';

const database = useDatabase();

beforeEach(() => emptyLedger(database()));

interface Row {
  status: string;
  attempt: number;
  finished: boolean;
}

async function look(id: string | undefined): Promise<Row | undefined> {
  const { rows } = await database().pool.query<Row>(
    `select status, attempt, finished_at is not null as finished from executor.commands where id = $1`,
    [id],
  );
  return rows[0];
}

async function cancel(...ids: (string | undefined)[]): Promise<string[]> {
  const { rows } = await database().pool.query<{ answer: string }>(
    'select answer from executor.cancel_commands($1)',
    [ids],
  );
  return rows.map(({ answer }) => answer);
}

async function submitOne(type: string, payload: object, options: object = {}): Promise<string> {
  const { rows } = await database().pool.query<{ id: string }>(
    'select executor.submit_command($1, $2, $3) as id',
    [type, payload, options],
  );
  return rows[0]?.id ?? '';
}

describe('cancelling', () => {
  test('what waits is CANCELLED at once and can no longer be claimed', async () => {
    const [pending] = await submit(database(), 1);
    const scheduled = await submitOne('DELAY', { ms: 1 }, { delayMs: 60_000 });
    expect(await cancel(pending, scheduled)).toEqual(['cancelled', 'cancelled']);
    expect(await look(pending)).toEqual({ status: 'CANCELLED', attempt: 0, finished: true });
    expect(await look(scheduled)).toEqual({ status: 'CANCELLED', attempt: 0, finished: true });
    await using session = await startSession(database());
    expect(await session.claim()).toEqual([]);
  });

  test('what runs gets a request, of which every beat tells until the agent has ended it', async () => {
    await using session = await startSession(database());
    const [id] = await submit(database(), 1);
    const claimed = await session.claim();
    expect(await cancel(id, id)).toEqual(['requested', 'requested']);
    expect(await session.beat(claimed, 1)).toMatchObject({ cancelled: [id], revoked: [] });
    expect(await session.beat(claimed, 1)).toMatchObject({ cancelled: [id] });
    expect(await session.report(claimed, 'cancelled')).toEqual(['accepted']);
    expect(await session.report(claimed, 'cancelled')).toEqual(['accepted']);
    expect(await look(id)).toEqual({ status: 'CANCELLED', attempt: 1, finished: true });
    expect(await session.beat(claimed, 1)).toMatchObject({ cancelled: [], revoked: [] });
  });

  test('a completion that comes before the agent ends it stands', async () => {
    await using session = await startSession(database());
    const [id] = await submit(database(), 1);
    const claimed = await session.claim();
    await cancel(id);
    expect(await session.complete(claimed)).toEqual(['accepted']);
    expect(await look(id)).toMatchObject({ status: 'COMPLETED' });
    expect(await cancel(id)).toEqual(['done']);
  });

  test.each(['failed', 'timed_out'] as const)('one that %s instead is not retried', async (how) => {
    await using session = await startSession(database());
    const [id] = await submit(database(), 1);
    const claimed = await session.claim();
    await cancel(id);
    expect(await session.report(claimed, how)).toEqual(['accepted']);
    expect(await look(id)).toEqual({ status: 'CANCELLED', attempt: 1, finished: true });
  });

  test('one whose agent gives it back, or is superseded, ends CANCELLED', async () => {
    await using session = await startSession(database(), 'phoenix');
    const [released, lost] = await submit(database(), 2);
    const claimed = await session.claim();
    await cancel(released, lost);
    await session.release(claimed.slice(0, 1));
    await using _successor = await startSession(database(), 'phoenix');
    expect(await look(claimed[0]?.id)).toMatchObject({ status: 'CANCELLED' });
    expect(await look(claimed[1]?.id)).toMatchObject({ status: 'CANCELLED' });
  });

  test('a report of cancellation that nobody asked for gives the command back', async () => {
    await using session = await startSession(database());
    const [id] = await submit(database(), 1);
    const claimed = await session.claim();
    expect(await session.report(claimed, 'cancelled')).toEqual(['accepted']);
    expect(await session.report(claimed, 'cancelled')).toEqual(['accepted']);
    expect(await look(id)).toMatchObject({ status: 'PENDING' });
  });

  test('it answers done and unknown, in the order asked', async () => {
    await using session = await startSession(database());
    const [id] = await submit(database(), 1);
    await session.complete(await session.claim());
    expect(await cancel(v7(), id)).toEqual(['unknown', 'done']);
    expect(await cancel()).toEqual([]);
  });
});

async function failed(options: object = {}): Promise<string> {
  await using session = await startSession(database());
  const id = await submitOne('DELAY', { ms: 7 }, { maxAttempts: 1, ...options });
  await session.fail(await session.claim());
  return id;
}

describe('retrying', () => {
  test('a FAILED command is repeated as a new one with the same options', async () => {
    const id = await failed({ priority: 5, tags: ['a'], timeoutMs: 1234.5, metadata: { n: null } });
    const { rows } = await database().pool.query<{ same: boolean; retried: boolean }>(
      `with retried as (select executor.retry_command($1) as id)
       select true as same, true as retried from retried`,
      [id],
    );
    expect(rows).toHaveLength(1);
    const pairs = await database().pool.query(
      `select executor.submission_of(c) - 'retryOf' as submission, retry_of
       from executor.commands c order by created_at`,
    );
    expect(pairs.rows[1]).toEqual({ ...(pairs.rows[0] as object), retry_of: id });
    expect(pairs.rows[0]).toMatchObject({
      submission: { priority: 5, tags: ['a'], timeoutMs: 1234.5, metadata: { n: null } },
    });
  });

  test('of many, what was retried before, is not done or is unknown is said so', async () => {
    const id = await failed();
    const [waiting] = await submit(database(), 1);
    const unknown = v7();
    const retry = async () => {
      const { rows } = await database().pool.query<{ answer: string; new_id: string | null }>(
        'select answer, new_id from executor.retry_commands($1)',
        [[id, waiting, unknown]],
      );
      return rows;
    };
    const first = await retry();
    expect(first.map(({ answer }) => answer)).toEqual(['retried', 'not_failed', 'unknown']);
    const second = await retry();
    expect(second.map(({ answer }) => answer)).toEqual(['retried_before', 'not_failed', 'unknown']);
    expect(second[0]?.new_id).toBe(first[0]?.new_id);
  });

  test('two who retry all that failed at once retry it once', async () => {
    const id = await failed();
    const retry = 'select answer, new_id from executor.retry_commands($1)';
    const client = await database().pool.connect();
    await client.query('begin');
    const first = await client.query(retry, [[id]]);
    const second = database().pool.query(retry, [[id]]);
    await expectWaiting(database().pool);
    await client.query('commit');
    client.release();
    const { new_id } = first.rows[0] as { new_id: string };
    expect(first.rows).toEqual([{ answer: 'retried', new_id }]);
    expect((await second).rows).toEqual([{ answer: 'retried_before', new_id }]);
  });

  test('the call may be repeated with the same new id', async () => {
    const id = await failed();
    const newId = v7();
    for (let call = 0; call < 2; call += 1) {
      const { rows } = await database().pool.query('select executor.retry_command($1, $2) as id', [
        id,
        newId,
      ]);
      expect(rows).toEqual([{ id: newId }]);
    }
  });

  test('one that has not failed, or is not there, is refused', async () => {
    const [waiting] = await submit(database(), 1);
    const retry = (id: string | undefined) =>
      database().pool.query('select executor.retry_command($1)', [id]);
    await expect(retry(waiting)).rejects.toMatchObject({ code: 'ZX008' });
    await expect(retry(v7())).rejects.toMatchObject({ code: 'ZX009' });
  });
});
