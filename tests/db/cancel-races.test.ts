// Cancelling against everything else that may happen to a command at that moment: each command ends once,
// and as the answer said.
//
//   cancelled   it is CANCELLED, and nobody claims it any more
//   requested   it ends CANCELLED or COMPLETED
//   done        nothing changed

import { beforeEach, describe, expect, test } from 'vitest';
import { v7 } from 'uuid';
import { finish } from '../../db/agents.ts';
import { tick } from '../../db/recovery.ts';
import {
  cancelCommands,
  expectWaiting,
  item,
  openTransaction,
  submitBatch,
} from '../support/batches.ts';
import { melee } from '../support/cancel-melee.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { row, startSession, submit, type Session } from '../support/session.ts';

const database = useDatabase();

beforeEach(() => emptyLedger(database()));

const pool = () => database().pool;

const cancel = (ids: string[]) => cancelCommands(pool(), ids);

/** Waits in the claim's place: between its ticket, which it has locked, and the command. */
async function claimInFlight(session: Session, id: string | undefined) {
  const { pool: claims } = session.claims;
  await claims.query('begin');
  await claims.query('select from executor_queue.job where id = $1 for update', [id]);
  return {
    goOn: async () => {
      const claimed = await session.claim();
      await claims.query('commit');
      return claimed;
    },
    [Symbol.asyncDispose]: async () => void (await claims.query('rollback').catch(() => {})),
  };
}

/** Cancels what becomes ready, and is being claimed, only once the canceller has begun. */
async function cancelAsItIsClaimed(session: Session) {
  const [first, second] = [v7(), v7()].toSorted() as [string, string];
  await submitBatch(pool(), [
    { ...item({ delayMs: 60_000 }), id: first },
    { ...item({ delayMs: 60_000 }), id: second },
  ]);
  await using psql = await openTransaction(pool());
  await psql.client.query('select from executor.commands where id = $1 for update', [first]);
  const answers = cancel([first, second]);
  await expectWaiting(pool());
  await pool().query('update executor.commands set run_at = created_at where id = $1', [second]);
  await tick(pool());
  const claim = await claimInFlight(session, second);
  await psql.rollback();
  expect(await answers).toEqual(['cancelled', 'requested']);
  expect(await row(database(), second)).toMatchObject({
    status: 'PENDING',
    cancel_requested_at: expect.any(Date) as unknown,
  });
  return { second, claim };
}

describe('a claim in flight', () => {
  test('that the canceller does not wait for says that it is to be cancelled', async () => {
    await using session = await startSession(database());
    const { second, claim } = await cancelAsItIsClaimed(session);
    const claimed = await claim.goOn();
    expect(claimed).toMatchObject([{ id: second, attempt: 1, cancelRequested: true }]);
    expect(await session.beat(claimed, 1)).toMatchObject({ cancelled: [second] });
    expect(await session.report(claimed, 'cancelled')).toEqual(['accepted']);
    expect(await row(database(), second)).toMatchObject({ status: 'CANCELLED' });
  });

  test('that breaks off leaves the request to the next', async () => {
    await using session = await startSession(database());
    const { second, claim } = await cancelAsItIsClaimed(session);
    await claim[Symbol.asyncDispose]();
    const claimed = await session.claim();
    expect(claimed).toMatchObject([{ id: second, cancelRequested: true }]);
    await session.release(claimed);
    expect(await row(database(), second)).toMatchObject({ status: 'CANCELLED', attempt: 1 });
  });

  test('that breaks off does not keep anybody from asking again', async () => {
    await using session = await startSession(database());
    const { second, claim } = await cancelAsItIsClaimed(session);
    await claim[Symbol.asyncDispose]();
    expect(await cancel([second])).toEqual(['cancelled']);
    expect(await session.claim()).toEqual([]);
  });

  test('that the canceller found the ticket of is waited for', async () => {
    await using session = await startSession(database());
    const [id] = await submit(database());
    await using claim = await claimInFlight(session, id);
    const answers = cancel([id ?? '']);
    await expectWaiting(pool());
    expect(await claim.goOn()).toMatchObject([{ id, cancelRequested: false }]);
    expect(await answers).toEqual(['requested']);
  });

  test('comes to nothing when the canceller was first', async () => {
    await using session = await startSession(database());
    const [id] = await submit(database());
    await using psql = await openTransaction(pool());
    await psql.client.query('select executor.cancel_commands($1)', [[id]]);
    expect(await session.claim()).toEqual([]);
    await psql.rollback();
    expect(await session.claim()).toMatchObject([{ id, cancelRequested: false }]);
  });
});

test('a report that waits for the canceller is answered by what he did', async () => {
  await using session = await startSession(database());
  const [completes, fails] = await submit(database(), 2);
  const claimed = await session.claim();
  const of = (id: string | undefined) => claimed.filter((one) => one.id === id);
  await using psql = await openTransaction(pool());
  await psql.client.query('select executor.cancel_commands($1)', [[completes, fails]]);
  const completed = session.complete(of(completes));
  const failed = session.fail(of(fails));
  await expectWaiting(pool(), 2);
  await psql.commit();
  expect([await completed, await failed]).toEqual([['accepted'], ['accepted']]);
  expect(await row(database(), completes)).toMatchObject({ status: 'COMPLETED' });
  expect(await row(database(), fails)).toMatchObject({ status: 'CANCELLED', failures: 1 });
});

test('recovery passes by what is just being cancelled, and ends it at the next tick', async () => {
  await using _session = await startSession(database(), 'phoenix');
  const [id] = await submit(database());
  await _session.claim();
  await pool().query(`update executor.agents set session = gen_random_uuid()`);
  await using psql = await openTransaction(pool());
  await psql.client.query('select executor.cancel_commands($1)', [[id]]);
  await tick(pool());
  await psql.commit();
  expect(await row(database(), id)).toMatchObject({ status: 'RUNNING' });
  await tick(pool());
  expect(await row(database(), id)).toMatchObject({ status: 'CANCELLED', attempt: 1 });
});

test('what is due is not promoted while somebody cancels it', async () => {
  await using session = await startSession(database());
  const [id] = await submitBatch(pool(), [item({ delayMs: 60_000 })]);
  await pool().query('update executor.commands set run_at = created_at');
  await using psql = await openTransaction(pool());
  await psql.client.query('select executor.cancel_commands($1)', [[id]]);
  await tick(pool());
  await psql.commit();
  await tick(pool());
  expect(await row(database(), id)).toMatchObject({ status: 'CANCELLED' });
  expect(await session.claim()).toEqual([]);
});

test('a mixed batch of reports does not deadlock with a canceller', async () => {
  // The completed one has the higher id, and the canceller holds the lower.
  await using session = await startSession(database());
  const [deferred, runs] = [v7(), v7()].toSorted() as [string, string];
  await submitBatch(pool(), [{ ...item({ delayMs: 60_000 }), id: deferred }]);
  await submitBatch(pool(), [{ ...item({ delayMs: 60_000 }), id: runs }]);
  await using psql = await openTransaction(pool());
  await psql.client.query('select from executor.commands where id = $1 for update', [deferred]);
  const answers = cancel([deferred, runs]);
  await expectWaiting(pool());
  await pool().query('update executor.commands set run_at = created_at where id = $1', [runs]);
  await tick(pool());
  const [claimed] = await session.claim();
  const error = { code: 'executor_error', message: 'no luck', retryable: false };
  const reported = finish(pool(), session.session, [
    { id: runs, attempt: claimed?.attempt ?? 0, outcome: 'completed', result: {} },
    { id: deferred, attempt: 1, outcome: 'failed', error },
  ]);
  await expectWaiting(pool(), 2);
  await psql.rollback();
  expect(await answers).toEqual(['cancelled', 'requested']);
  expect(await reported).toEqual(['accepted', 'stale']);
});

test('ten thousand that wait are cancelled in one call', { timeout: 60_000 }, async () => {
  const ids: string[] = [];
  for (let i = 0; i < 10; i += 1) ids.push(...(await submit(database(), 1_000)));
  const answers = await cancel(ids);
  expect(new Set(answers)).toEqual(new Set(['cancelled']));
});

test(
  'fifty at once: every command ends once, as it was answered',
  { timeout: 60_000 },
  async () => {
    // Whoever is chosen to end a deadlock rejects.
    const { violations, answers } = await melee(database(), { seconds: 4 });
    expect(violations).toEqual([]);
    for (const answer of ['cancelled', 'requested', 'done'])
      expect(answers[answer]).toBeGreaterThan(0);
  },
);
