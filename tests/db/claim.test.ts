import { expect, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { row, startSession, submit, type Session } from '../support/session.ts';

const database = useDatabase();

test('a claimed command is RUNNING, owned, and on its first attempt', async () => {
  const [id] = await submit(database());
  await using session = await startSession(database());
  const claimed = await session.claim();
  expect(claimed).toEqual([
    {
      id,
      type: 'DELAY',
      payload: { ms: 0 },
      attempt: 1,
      timeoutMs: 60_000,
      cancelRequested: false,
    },
  ]);
  const command = await row(database(), id);
  expect(command).toMatchObject({
    status: 'RUNNING',
    agent_id: session.agentId,
    session: session.session,
  });
  expect(Number(command.deadline_at) - Number(command.started_at)).toBe(60_000);
  await session.complete(claimed);
});

test('a claim takes no more than it asks for, oldest first', async () => {
  const ids = await submit(database(), 30);
  await using session = await startSession(database());
  const first = await session.claim(7);
  expect(first.map(({ id }) => id).toSorted()).toEqual(ids.slice(0, 7).toSorted());
  const rest = await session.claim(100);
  expect(rest).toHaveLength(23);
  await session.complete([...first, ...rest]);
});

test('what has a higher priority is claimed first', async () => {
  await submit(database(), 3);
  const { rows } = await database().pool.query(
    `select executor.submit_command('DELAY', '{"ms": 0}', '{"priority": 5}') as id`,
  );
  await using session = await startSession(database());
  const [first] = await session.claim(1);
  expect(first?.id).toBe(rows[0].id);
  await session.complete([first!, ...(await session.claim(100))]);
});

test('an empty queue gives nothing', async () => {
  await using session = await startSession(database());
  expect(await session.claim()).toEqual([]);
});

test('a stray ticket does not revive a finished command', async () => {
  const [id] = await submit(database());
  await using session = await startSession(database());
  await session.complete(await session.claim());
  await database().pool.query(
    `insert into executor_queue.job (id, name, start_after)
     select id, lane, '-infinity' from executor.commands where id = $1`,
    [id],
  );
  expect(await session.claim()).toEqual([]);
  expect(await row(database(), id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  await database().pool.query('delete from executor_queue.job where id = $1', [id]);
});

test('twenty sessions that claim 5,000 commands at once claim each exactly once', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 10; i += 1) ids.push(...(await submit(database(), 500)));
  const sessions = await Promise.all(Array.from({ length: 20 }, () => startSession(database())));
  const claimed = (await Promise.all(sessions.map(claimAll))).flat();
  expect(claimed.toSorted()).toEqual(ids.toSorted());
  for (const session of sessions) await session[Symbol.asyncDispose]();
});

async function claimAll(session: Session): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const claimed = await session.claim(25);
    if (claimed.length === 0) return ids;
    await session.complete(claimed);
    ids.push(...claimed.map(({ id }) => id));
  }
}
