import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { beat, signOff } from '../../db/agents.ts';
import { useDatabase } from '../support/database.ts';
import { row, startSession, submit, SUBSCRIPTION } from '../support/session.ts';

const database = useDatabase();

async function attempts(id: string | undefined) {
  const { rows } = await database().pool.query(
    'select attempt, outcome from executor.attempts where command_id = $1 order by attempt',
    [id],
  );
  return rows as { attempt: number; outcome: string }[];
}

test('a released command is claimable at once, in its old place, as its next attempt', async () => {
  await using session = await startSession(database());
  const [first] = await submit(database());
  const claimed = await session.claim(1);
  await submit(database());
  expect(await session.release(claimed)).toEqual(['accepted']);
  expect(await row(database(), first)).toMatchObject({ status: 'PENDING', agent_id: null });
  const [again] = await session.claim(1);
  expect(again).toMatchObject({ id: first, attempt: 2 });
  expect(await attempts(first)).toEqual([{ attempt: 1, outcome: 'released' }]);
  await session.complete([again!, ...(await session.claim())]);
});

test('releasing what one does not own changes nothing', async () => {
  await using owner = await startSession(database());
  await using other = await startSession(database());
  const [id] = await submit(database());
  const claimed = await owner.claim();
  const unknown = { id: randomUUID(), attempt: 1 };
  expect(await other.release([...claimed, unknown])).toEqual(['stale', 'unknown']);
  expect(await row(database(), id)).toMatchObject({ status: 'RUNNING' });
  await owner.complete(claimed);
});

test('a new session of an agent takes over: what the old one held is offered again', async () => {
  await using old = await startSession(database(), 'phoenix');
  const [id] = await submit(database());
  const claimed = await old.claim();
  await using young = await startSession(database(), 'phoenix');
  expect(await old.beat(claimed, 1)).toMatchObject({ superseded: true, revoked: [id] });
  expect(await young.beat()).toMatchObject({ superseded: false, ready: true });
  expect(await attempts(id)).toEqual([{ attempt: 1, outcome: 'lost' }]);
  const again = await young.claim();
  expect(again).toMatchObject([{ id, attempt: 2 }]);
  expect(await old.complete(claimed)).toEqual(['stale']);
  await young.complete(again);
});

test('a beat says whether work waits', async () => {
  await using session = await startSession(database());
  expect(await session.beat()).toMatchObject({ ready: false });
  await submit(database());
  expect(await session.beat()).toMatchObject({ ready: true });
  const claimed = await session.claim();
  expect(await session.beat(claimed, 1)).toMatchObject({ ready: false, revoked: [] });
  await session.complete(claimed);
});

test('a command whose claim was answered into the void goes back as unstarted', async () => {
  await using session = await startSession(database());
  const [id] = await submit(database());
  await session.claim(1, 7);
  expect(await session.beat([], 6)).toMatchObject({ ready: false });
  expect(await row(database(), id)).toMatchObject({ status: 'RUNNING' });
  expect(await session.beat([], 7)).toMatchObject({ ready: true });
  expect(await attempts(id)).toEqual([{ attempt: 1, outcome: 'unstarted' }]);
  const again = await session.claim(1, 8);
  expect(again).toMatchObject([{ id, attempt: 2 }]);
  await session.complete(again);
});

test('an agent stays draining though a beat from before is looked at after that', async () => {
  await using session = await startSession(database());
  const say = { running: [], settledClaimNo: 0, ...SUBSCRIPTION };
  await beat(database().pool, session, { ...say, draining: true });
  await beat(database().pool, session, { ...say, draining: false });
  const { rows } = await database().pool.query(
    'select state from executor.agent_states where id = $1',
    [session.agentId],
  );
  expect(rows).toEqual([{ state: 'draining' }]);
});

test('a beat revokes what the agent runs but no longer owns, and nothing else', async () => {
  await using session = await startSession(database());
  await submit(database(), 3);
  const [lost, done, running] = await session.claim(3);
  await session.release([lost!]);
  await session.complete([done!]);
  expect(await session.beat([lost!, done!, running!], 1)).toMatchObject({ revoked: [lost!.id] });
  await session.complete([running!, ...(await session.claim())]);
});

test('signing off gives back what is left and takes the agent off duty', async () => {
  await using session = await startSession(database());
  const [id] = await submit(database());
  await session.claim();
  await signOff(database().pool, session);
  expect(await row(database(), id)).toMatchObject({ status: 'PENDING' });
  const { rows } = await database().pool.query(
    'select signed_off_at is not null as gone from executor.agents where id = $1',
    [session.agentId],
  );
  expect(rows).toEqual([{ gone: true }]);
  await using other = await startSession(database());
  await other.complete(await other.claim());
});
