// Claims of more than there are free slots for: what may wait for a slot, and what becomes of it.

import { beforeEach, expect, test } from 'vitest';
import type { AttemptKey } from '../../db/agents.ts';
import { claim } from '../../db/claim.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { row, startSession, submit, SUBSCRIPTION, type Session } from '../support/session.ts';

const database = useDatabase();

beforeEach(() => emptyLedger(database()));

async function submitWith(options: object): Promise<string> {
  const { rows } = await database().pool.query<{ id: string }>(
    `select executor.submit_command('DELAY', '{"ms": 0}', $1) as id`,
    [options],
  );
  return rows[0]?.id ?? '';
}

/** Claims for free slots and ahead of them; answers ids in the order in which to begin. */
async function claimAhead(session: Session, free: number, ahead: number): Promise<string[]> {
  const { agentId, session: id } = session;
  const wanted = { ...SUBSCRIPTION, agentId, session: id, claimNo: 1, limit: free + ahead, ahead };
  const claimed = await claim(session.claims.pool, wanted);
  return claimed.map((command) => command.id);
}

async function giveBack(session: Session, claims: AttemptKey[]): Promise<string[]> {
  return await session.release(claims.map((key) => ({ ...key, started: false })));
}

async function loseOnce(): Promise<void> {
  await using session = await startSession(database());
  await session.claim(100);
  await using _successor = await startSession(database(), session.agentId);
}

test('what may wait is claimed beyond the free slots, highest priority first, then oldest', async () => {
  const ids = await submit(database(), 3);
  const urgent = await submitWith({ priority: 5 });
  await using session = await startSession(database());
  expect(await claimAhead(session, 1, 2)).toEqual([urgent, ...ids.slice(0, 2)]);
});

test('what may not be repeated is claimed for free slots only, and comes first', async () => {
  const once = [await submitWith({ delivery: 'at_most_once' })];
  const [ordinary = ''] = await submit(database(), 1);
  once.push(await submitWith({ delivery: 'at_most_once' }));
  await using session = await startSession(database());
  expect(await claimAhead(session, 1, 5)).toEqual([once[0], ordinary]);
  expect(await row(database(), once[1])).toMatchObject({ status: 'PENDING', attempt: 0 });
  expect(await claimAhead(session, 0, 5)).toEqual([]);
  expect(await claimAhead(session, 1, 0)).toEqual([once[1]]);
});

test('what an agent was lost with is claimed for free slots only', async () => {
  const ids = await submit(database(), 2);
  await loseOnce();
  const [fresh = ''] = await submit(database(), 1);
  await using session = await startSession(database());
  expect(await claimAhead(session, 0, 5)).toEqual([fresh]);
  expect(await claimAhead(session, 1, 5)).toEqual(ids.slice(0, 1));
});

test('what is left out keeps its place in the queue', async () => {
  const once = await submitWith({ delivery: 'at_most_once' });
  const [ordinary = ''] = await submit(database(), 1);
  await using ahead = await startSession(database());
  expect(await claimAhead(ahead, 0, 1)).toEqual([]);
  await using session = await startSession(database());
  expect((await session.claim(2)).map(({ id }) => id)).toEqual([once, ordinary]);
});

test.each(['at_least_once', 'at_most_once'])(
  'what is given back as not started is as it was, %s',
  async (delivery) => {
    const id = await submitWith({ delivery });
    await using session = await startSession(database());
    const [claimed] = await session.claim(1);
    const claims = [{ id, attempt: claimed?.attempt ?? 0 }];
    expect(await giveBack(session, claims)).toEqual(['accepted']);
    const counts = { failures: 0, losses: 0, error: null };
    expect(await row(database(), id)).toMatchObject({ status: 'PENDING', ...counts });
    await using other = await startSession(database());
    expect(await other.claim()).toMatchObject([{ id, attempt: 2 }]);
    expect(await giveBack(session, claims)).toEqual(['accepted']);
    expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 2 });
  },
);

test('what is cancelled is so when it is given back', async () => {
  const [id = ''] = await submit(database());
  await using session = await startSession(database());
  const claimed = await session.claim();
  await database().pool.query('select executor.cancel_command($1)', [id]);
  await giveBack(session, claimed);
  expect(await row(database(), id)).toMatchObject({ status: 'CANCELLED' });
});
