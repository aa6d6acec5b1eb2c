import { beforeEach, expect, test } from 'vitest';
import { finish } from '../../db/agents.ts';
import { tick } from '../../db/recovery.ts';
import { useDatabase } from '../support/database.ts';
import { listen } from '../support/listen.ts';
import { row, startSession, type Session } from '../support/session.ts';

const database = useDatabase();

beforeEach(() => database().pool.query('truncate executor.commands, executor_queue.job cascade'));

async function submitWith(options: Record<string, unknown>): Promise<string> {
  const { rows } = await database().pool.query<{ id: string }>(
    `select executor.submit_command('DELAY', '{"ms": 0}', $1) as id`,
    [JSON.stringify(options)],
  );
  return rows[0]!.id;
}

async function fail(
  session: Session,
  outcome: 'failed' | 'timed_out' = 'failed',
  retryable = true,
) {
  const [claimed] = await session.claim(1);
  const error = { code: 'executor_error', message: 'no luck', retryable };
  const report = { id: claimed!.id, attempt: claimed!.attempt, outcome, error };
  const answers = await finish(database().pool, session.session, [report]);
  return { answers, report };
}

/** Makes what waits for its time due now. */
async function becomeDue(id: string): Promise<void> {
  await database().pool.query(
    `update executor.commands set run_at = created_at where id = $1 and status = 'SCHEDULED'`,
    [id],
  );
  await tick(database().pool);
}

test('a failed attempt is retried after a pause, until the command is out of attempts', async () => {
  await using session = await startSession(database());
  const id = await submitWith({ maxAttempts: 3 });
  for (const failures of [1, 2]) {
    expect((await fail(session)).answers).toEqual(['accepted']);
    expect(await row(database(), id)).toMatchObject({
      status: 'SCHEDULED',
      failures,
      session: null,
    });
    expect(await session.claim()).toEqual([]);
    await becomeDue(id);
  }
  await fail(session);
  expect(await row(database(), id)).toMatchObject({
    status: 'FAILED',
    attempt: 3,
    failures: 3,
    error: { code: 'executor_error' },
  });
  const { rows } = await database().pool.query(
    'select attempt, outcome from executor.command_attempts where command_id = $1 order by 1',
    [id],
  );
  expect(rows).toEqual([1, 2, 3].map((attempt) => ({ attempt, outcome: 'failed' })));
});

test('a retry that succeeds completes the command', async () => {
  await using session = await startSession(database());
  const id = await submitWith({});
  await fail(session, 'timed_out');
  await becomeDue(id);
  await session.complete(await session.claim());
  expect(await row(database(), id)).toMatchObject({ status: 'COMPLETED', attempt: 2, failures: 1 });
});

test('an error that is not retryable is final', async () => {
  await using session = await startSession(database());
  const id = await submitWith({});
  await fail(session, 'failed', false);
  expect(await row(database(), id)).toMatchObject({ status: 'FAILED', attempt: 1, failures: 1 });
});

test('a report that led to a retry is accepted again, and changes nothing', async () => {
  await using session = await startSession(database());
  const id = await submitWith({});
  const { report } = await fail(session);
  const before = await row(database(), id);
  expect(await finish(database().pool, session.session, [report])).toEqual(['accepted']);
  expect(await row(database(), id)).toEqual(before);
});

test('under at_most_once a failure is final', async () => {
  await using session = await startSession(database());
  const id = await submitWith({ delivery: 'at_most_once' });
  await fail(session);
  expect(await row(database(), id)).toMatchObject({
    status: 'FAILED',
    error: { code: 'executor_error' },
  });
});

test('the pause grows by the factor, is drawn from 0 up, and never exceeds the maximum', async () => {
  const { rows } = await database().pool.query<{ failures: number; least: number; most: number }>(`
    select
      failures,
      extract(epoch from min(pause))::float8 as least,
      extract(epoch from max(pause))::float8 as most
    from generate_series(0, 1000, 10) as failures,
      lateral (
        select executor.retry_pause('1 s', 2, '1 h', failures) as pause
        from generate_series(1, 400) where failures is not null
      ) as drawn
    group by failures
    order by failures`);
  const [first, ...rest] = rows;
  expect(first!.least).toBeLessThan(0.2);
  expect(first!.most).toBeGreaterThan(0.8);
  expect(first!.most).toBeLessThanOrEqual(1);
  for (const { most } of rest) {
    expect(most).toBeGreaterThan(700);
    expect(most).toBeLessThanOrEqual(3600);
  }
});

test('a deferred command waits without a ticket, and promoting it wakes agents', async () => {
  await using session = await startSession(database());
  await using due = await listen(database().url, 'executor_due');
  const id = await submitWith({ delayMs: 60_000 });
  expect(await row(database(), id)).toMatchObject({ status: 'SCHEDULED' });
  await due.count(1);
  expect(Math.abs(Number(due.payloads[0]) - Date.now() / 1000 - 60)).toBeLessThan(30);
  expect(await session.claim()).toEqual([]);
  await using work = await listen(database().url, 'executor_work');
  await becomeDue(id);
  await work.count(1);
  await session.complete(await session.claim());
  expect(await row(database(), id)).toMatchObject({ status: 'COMPLETED' });
});

test('a tick answers when the next command is due', async () => {
  const id = await submitWith({ delayMs: 3_600_000 });
  const { run_at } = await row(database(), id);
  expect(await tick(database().pool)).toMatchObject({ nextDueAt: run_at });
  await database().pool.query('delete from executor.commands where id = $1', [id]);
});
