// Concurrency keys: at most one command of a key is ready, running or pausing before a retry; the others
// wait in line, and hold up nobody else.

import { beforeEach, describe, expect, test } from 'vitest';
import { v7 } from 'uuid';
import { finish } from '../../db/agents.ts';
import { tick } from '../../db/recovery.ts';
import {
  expectWaiting,
  item,
  openTransaction,
  submitBatch,
  type Item,
} from '../support/batches.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { listen } from '../support/listen.ts';
import { startSession, type Session } from '../support/session.ts';

const database = useDatabase();

beforeEach(() => emptyLedger(database()));

const pool = () => database().pool;

/** A command with the key `k`, unless said. */
function keyed(options: Record<string, unknown> = {}): Item {
  return item({ concurrencyKey: 'k', maxAttempts: 1, ...options });
}

async function submitKeyed(...options: Record<string, unknown>[]): Promise<string[]> {
  return await submitBatch(
    pool(),
    options.map((one) => keyed(one)),
  );
}

/** The status of each of these. */
async function statuses(ids: (string | undefined)[]): Promise<string[]> {
  const { rows } = await pool().query<{ status: string }>(
    `select status::text from unnest($1::uuid[]) with ordinality as wanted (id, ordinal)
     join executor.commands using (id) order by ordinal`,
    [ids],
  );
  return rows.map(({ status }) => status);
}

async function cancel(id: string | undefined): Promise<string | undefined> {
  const { rows } = await pool().query<{ answer: string }>(
    'select executor.cancel_command($1) as answer',
    [id],
  );
  return rows[0]?.answer;
}

/** What waits for its time is due now, and a tick has seen it. */
async function becomeDue(): Promise<void> {
  await pool().query(`update executor.commands set run_at = created_at where status = 'SCHEDULED'`);
  await tick(pool());
}

/** The agent is found lost, and what it ran is recovered. */
async function lose(session: Session): Promise<void> {
  await tick(pool());
  await pool().query(`update executor.clock set watching_since = now() - interval '1 minute'`);
  await pool().query(
    'update executor.agents set beat_clock = executor.observed_ms() - 16000 where id = $1',
    [session.agentId],
  );
  await tick(pool());
}

async function contended(): Promise<string[]> {
  const { rows } = await pool().query<{ key: string }>(
    'select concurrency_key as key from executor.contended_keys order by id',
  );
  return rows.map(({ key }) => key);
}

describe('in line', () => {
  test('the first is PENDING and the others are BLOCKED, without tickets', async () => {
    const ids = await submitKeyed({}, {}, {});
    expect(await statuses(ids)).toEqual(['PENDING', 'BLOCKED', 'BLOCKED']);
    const { rows } = await pool().query('select id from executor_queue.job');
    expect(rows).toEqual([{ id: ids[0] }]);
  });

  test('they run one by one, in the order in which they were submitted', async () => {
    await using session = await startSession(database());
    const ids = [...(await submitKeyed({}, {})), ...(await submitKeyed({}, {}))];
    for (const id of ids) {
      const claimed = await session.claim();
      expect(claimed).toMatchObject([{ id }]);
      expect(await session.claim()).toEqual([]);
      await session.complete(claimed);
    }
    expect(await session.claim()).toEqual([]);
  });

  test('the higher priority comes first, but does not overtake what is ready', async () => {
    await using session = await startSession(database());
    const [ready] = await submitKeyed({});
    const [low, high, alsoHigh] = await submitKeyed(
      { priority: -1 },
      { priority: 7 },
      { priority: 7 },
    );
    const started = [];
    for (let i = 0; i < 4; i += 1) {
      const claimed = await session.claim();
      started.push(claimed[0]?.id);
      await session.complete(claimed);
    }
    expect(started).toEqual([ready, high, alsoHigh, low]);
  });

  test('a time in the past is no way to the front', async () => {
    await using session = await startSession(database());
    const ids = await submitKeyed({}, {}, { runAt: '1999-01-01T00:00:00Z' });
    for (const id of ids) {
      const claimed = await session.claim();
      expect(claimed[0]?.id).toBe(id);
      await session.complete(claimed);
    }
  });

  test('they do not block commands with another key, or none', async () => {
    await using session = await startSession(database());
    const ids = await submitBatch(pool(), [
      ...Array.from({ length: 40 }, () => keyed({ priority: 100 })),
      keyed({ concurrencyKey: 'other' }),
      item(),
    ]);
    const claimed = await session.claim(100);
    expect(claimed.map(({ id }) => id).toSorted()).toEqual(
      [ids[0], ...ids.slice(-2)].map(String).toSorted(),
    );
    await session.complete(claimed);
  });

  test('a batch finishes many keys at once, and hands each on', async () => {
    await using session = await startSession(database());
    const keys = ['a', 'b', 'c'];
    const batch = [...keys, ...keys].map((concurrencyKey) => keyed({ concurrencyKey }));
    await submitBatch(pool(), batch);
    const first = await session.claim();
    expect(first).toHaveLength(3);
    await session.complete(first);
    const second = await session.claim();
    expect(second.map(({ id }) => id).toSorted()).toEqual(
      batch
        .slice(3)
        .map(({ id }) => id)
        .toSorted(),
    );
  });

  test('whoever hands on wakes agents', async () => {
    await using session = await startSession(database());
    await submitKeyed({}, {});
    const claimed = await session.claim();
    await using work = await listen(database().url, 'executor_work');
    await session.complete(claimed);
    await work.count(1);
    expect(work.payloads).toHaveLength(1);
  });
});

describe('a deferred first start', () => {
  test('does not hold the key, and is BLOCKED when its time comes while somebody does', async () => {
    await using session = await startSession(database());
    const [deferred] = await submitKeyed({ delayMs: 60_000 });
    const [runs, waits] = await submitKeyed({}, { priority: -1 });
    const claimed = await session.claim();
    expect(claimed).toMatchObject([{ id: runs }]);
    await becomeDue();
    expect(await statuses([deferred, runs, waits])).toEqual(['BLOCKED', 'RUNNING', 'BLOCKED']);
    await session.complete(claimed);
    expect(await statuses([deferred, waits])).toEqual(['PENDING', 'BLOCKED']);
  });

  test('is PENDING when its time comes and the key is free', async () => {
    const ids = await submitKeyed({ delayMs: 60_000 }, { delayMs: 60_000 });
    await becomeDue();
    expect((await statuses(ids)).toSorted()).toEqual(['BLOCKED', 'PENDING']);
  });

  test('takes its place by its time, not by when it was submitted', async () => {
    await using session = await startSession(database());
    const [deferred] = await submitKeyed({ delayMs: 60_000 });
    const [runs, waits] = await submitKeyed({}, {});
    await pool().query(
      `update executor.commands set run_at = clock_timestamp() where status = 'SCHEDULED'`,
    );
    await tick(pool());
    await session.complete(await session.claim());
    expect(await statuses([runs, waits, deferred])).toEqual(['COMPLETED', 'PENDING', 'BLOCKED']);
  });
});

describe('the key is kept', () => {
  test('in the pause before a retry', async () => {
    await using session = await startSession(database());
    const [first, second] = await submitKeyed({ maxAttempts: 3 }, {});
    await failRetryably(session);
    expect(await statuses([first, second])).toEqual(['SCHEDULED', 'BLOCKED']);
    await becomeDue();
    expect(await statuses([first, second])).toEqual(['PENDING', 'BLOCKED']);
    await session.complete(await session.claim());
    expect(await statuses([first, second])).toEqual(['COMPLETED', 'PENDING']);
  });

  test('when the command is given back', async () => {
    await using session = await startSession(database());
    const [first] = await submitKeyed({});
    const [second] = await submitKeyed({ priority: 100 });
    await session.release(await session.claim());
    expect(await statuses([first, second])).toEqual(['PENDING', 'BLOCKED']);
  });

  test('when its agent is lost', async () => {
    await using session = await startSession(database());
    const [first] = await submitKeyed({});
    const [second] = await submitKeyed({ priority: 100 });
    await session.claim();
    await lose(session);
    expect(await statuses([first, second])).toEqual(['PENDING', 'BLOCKED']);
  });

  test("when the claim's reply was lost", async () => {
    await using session = await startSession(database());
    const [first] = await submitKeyed({});
    const [second] = await submitKeyed({ priority: 100 });
    await session.claim(1, 1);
    await session.beat([], 1);
    expect(await statuses([first, second])).toEqual(['PENDING', 'BLOCKED']);
  });
});

describe('the key is handed on', () => {
  test('by a failure for good', async () => {
    await using session = await startSession(database());
    const ids = await submitKeyed({}, {});
    await session.fail(await session.claim());
    expect(await statuses(ids)).toEqual(['FAILED', 'PENDING']);
  });

  test('by cancelling what is PENDING, and what pauses before a retry', async () => {
    await using session = await startSession(database());
    const ids = await submitKeyed({}, { maxAttempts: 3 }, {});
    expect(await cancel(ids[0])).toBe('cancelled');
    expect(await statuses(ids)).toEqual(['CANCELLED', 'PENDING', 'BLOCKED']);
    await failRetryably(session);
    expect(await statuses(ids)).toEqual(['CANCELLED', 'SCHEDULED', 'BLOCKED']);
    expect(await cancel(ids[1])).toBe('cancelled');
    expect(await statuses(ids)).toEqual(['CANCELLED', 'CANCELLED', 'PENDING']);
  });

  test('by the end of what was cancelled while it ran', async () => {
    await using session = await startSession(database());
    const ids = await submitKeyed({}, {});
    const claimed = await session.claim();
    expect(await cancel(ids[0])).toBe('requested');
    expect(await statuses(ids)).toEqual(['RUNNING', 'BLOCKED']);
    await session.report(claimed, 'cancelled');
    expect(await statuses(ids)).toEqual(['CANCELLED', 'PENDING']);
  });

  test('not by cancelling what is BLOCKED or has never started', async () => {
    const ids = await submitKeyed({}, {}, {}, { delayMs: 60_000 });
    expect(await cancel(ids[1])).toBe('cancelled');
    expect(await cancel(ids[3])).toBe('cancelled');
    expect(await statuses(ids)).toEqual(['PENDING', 'CANCELLED', 'BLOCKED', 'CANCELLED']);
  });

  test('by a command that is poison', async () => {
    const ids = await submitKeyed({ maxAttempts: 3 }, {});
    await pool().query('update executor.commands set max_losses = 0 where id = $1', [ids[0]]);
    await using session = await startSession(database());
    await session.claim();
    await lose(session);
    expect(await statuses(ids)).toEqual(['FAILED', 'PENDING']);
  });

  test('by an interruption of one that runs at most once: given back, or superseded', async () => {
    await using session = await startSession(database(), 'phoenix');
    const ids = await submitKeyed(
      ...Array.from({ length: 3 }, () => ({ delivery: 'at_most_once' })),
    );
    await session.release(await session.claim());
    expect(await statuses(ids)).toEqual(['FAILED', 'PENDING', 'BLOCKED']);
    await session.claim();
    await using _successor = await startSession(database(), 'phoenix');
    expect(await statuses(ids)).toEqual(['FAILED', 'FAILED', 'PENDING']);
  });

  test('by a late completion of a lost attempt', async () => {
    await using session = await startSession(database());
    const ids = await submitKeyed({}, {});
    const claimed = await session.claim();
    await lose(session);
    expect(await statuses(ids)).toEqual(['PENDING', 'BLOCKED']);
    expect(await session.complete(claimed)).toEqual(['accepted']);
    expect(await statuses(ids)).toEqual(['COMPLETED', 'PENDING']);
  });

  test('and a command that is retried by hand gets in line', async () => {
    await using session = await startSession(database());
    const [first, second] = await submitKeyed({}, {});
    await session.fail(await session.claim());
    const { rows } = await pool().query<{ id: string }>('select executor.retry_command($1) as id', [
      first,
    ]);
    const again = rows[0]?.id;
    expect(await statuses([second, again])).toEqual(['PENDING', 'BLOCKED']);
    await session.complete(await session.claim());
    expect(await statuses([second, again])).toEqual(['COMPLETED', 'PENDING']);
  });
});

describe('a key that somebody holds locked', () => {
  test('stalls nobody, and is given away by the tick after that', async () => {
    await using session = await startSession(database());
    const [first] = await submitKeyed({});
    const claimed = await session.claim();
    await using psql = await openTransaction(pool());
    const [second] = await submitBatch(psql.client, [keyed()]);

    await using due = await listen(database().url, 'executor_due');
    expect(await session.complete(claimed)).toEqual(['accepted']);
    const [third, other] = await submitKeyed({}, { concurrencyKey: 'other' });
    expect(await statuses([first, third, other])).toEqual(['COMPLETED', 'BLOCKED', 'PENDING']);
    await due.count(2);
    await tick(pool());
    expect(await statuses([third])).toEqual(['BLOCKED']);
    expect(await contended()).toContain('k');

    await psql.commit();
    expect(await statuses([second, third])).toEqual(['BLOCKED', 'BLOCKED']);
    await tick(pool());
    expect(await contended()).toEqual([]);
    expect((await statuses([second, third])).toSorted()).toEqual(['BLOCKED', 'PENDING']);
  });

  test('is free again when that transaction rolls back', async () => {
    await using psql = await openTransaction(pool());
    await submitBatch(psql.client, [keyed()]);
    const [id] = await submitKeyed({});
    expect(await statuses([id])).toEqual(['BLOCKED']);
    await psql.rollback();
    await tick(pool());
    expect(await statuses([id])).toEqual(['PENDING']);
  });

  test('so is one whose next command somebody holds locked', async () => {
    await using session = await startSession(database());
    const ids = await submitKeyed({}, {}, {});
    const claimed = await session.claim();
    await using psql = await openTransaction(pool());
    await psql.client.query('select from executor.commands where id = $1 for update', [ids[1]]);
    await session.complete(claimed);
    expect(await statuses(ids)).toEqual(['COMPLETED', 'BLOCKED', 'BLOCKED']);
    await psql.rollback();
    await tick(pool());
    expect(await statuses(ids)).toEqual(['COMPLETED', 'PENDING', 'BLOCKED']);
  });
});

const repair = () =>
  pool().query(
    `update executor.clock set repaired_to = '00000000-0000-0000-0000-000000000000', ticked_at = 'epoch'`,
  );

describe('repair', () => {
  test('gives away a key that nobody holds', async () => {
    await using session = await startSession(database());
    const ids = await submitKeyed({}, {}, {});
    await session.claim();
    await pool().query('delete from executor_queue.job where id = $1', [ids[0]]);
    await pool().query('delete from executor.commands where id = $1', [ids[0]]);
    expect(await statuses(ids)).toEqual(['BLOCKED', 'BLOCKED']);
    await repair();
    await tick(pool());
    expect(await statuses(ids)).toEqual(['PENDING', 'BLOCKED']);
  });

  test('takes no lock of a key that somebody holds', async () => {
    await submitKeyed({}, {});
    await using psql = await openTransaction(pool());
    await repair();
    await psql.client.query('select executor.repair()');
    const { rows } = await pool().query(
      `select from pg_locks where locktype = 'advisory' and database = (
         select oid from pg_database where datname = current_database())`,
    );
    expect(rows).toEqual([]);
  });
});

test('a name of 255 bytes is a key, an empty one or a longer one is none', async () => {
  await submitKeyed({ concurrencyKey: 'ä'.repeat(127) });
  for (const concurrencyKey of ['', 'ä'.repeat(128)])
    await expect(submitKeyed({ concurrencyKey })).rejects.toMatchObject({ code: '23514' });
});

test('a failure that hands its key on does not deadlock with somebody who cancels', async () => {
  // The failed one hands its key on to a command with a higher id than one that is reported after it.
  await using session = await startSession(database());
  const ids = [v7(), v7(), v7()].toSorted();
  const [failing, deferred, blocked] = ids as [string, string, string];
  await submitBatch(pool(), [
    { ...keyed(), id: failing },
    { ...item({ delayMs: 60_000 }), id: deferred },
  ]);
  await submitBatch(pool(), [{ ...keyed(), id: blocked }]);
  const [claimed] = await session.claim();
  await using psql = await openTransaction(pool());
  await psql.client.query('select from executor.commands where id = $1 for update', [deferred]);
  const error = { code: 'executor_error', message: 'no luck', retryable: false };
  const cancelled = pool().query('select answer from executor.cancel_commands($1)', [
    [deferred, blocked],
  ]);
  await expectWaiting(pool());
  const finished = finish(pool(), session.session, [
    { id: failing, attempt: claimed?.attempt ?? 0, outcome: 'failed', error },
    { id: deferred, attempt: 1, outcome: 'failed', error },
  ]);
  await expectWaiting(pool(), 2);
  await psql.rollback();
  expect(await finished).toEqual(['accepted', 'stale']);
  expect((await cancelled).rows).toEqual([{ answer: 'cancelled' }, { answer: 'cancelled' }]);
});

async function failRetryably(session: Session): Promise<void> {
  const [claimed] = await session.claim(1);
  if (!claimed) throw new Error('nothing to claim');
  const error = { code: 'executor_error', message: 'no luck', retryable: true };
  const { id, attempt } = claimed;
  await finish(pool(), session.session, [{ id, attempt, outcome: 'failed', error }]);
}
