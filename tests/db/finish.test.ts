import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { finish } from '../../db/agents.ts';
import { useDatabase } from '../support/database.ts';
import { ERROR, row, startSession, submit, type Session } from '../support/session.ts';

const database = useDatabase();

async function claimOne(session: Session) {
  await submit(database());
  const [claimed] = await session.claim(1);
  return claimed!;
}

test('a completed command keeps its result and loses its ticket', async () => {
  await using session = await startSession(database());
  const claimed = await claimOne(session);
  expect(await session.complete([claimed], { ok: true, tookMs: 3 })).toEqual(['accepted']);
  expect(await row(database(), claimed.id)).toMatchObject({
    status: 'COMPLETED',
    result: { ok: true, tookMs: 3 },
    error: null,
    agent_id: session.agentId,
    finished_at: expect.any(Date) as unknown,
  });
});

test('a failed command keeps its error', async () => {
  await using session = await startSession(database());
  const claimed = await claimOne(session);
  expect(await session.fail([claimed])).toEqual(['accepted']);
  expect(await row(database(), claimed.id)).toMatchObject({
    status: 'FAILED',
    result: null,
    error: ERROR,
  });
});

test('the same report again is accepted and changes nothing', async () => {
  await using session = await startSession(database());
  const claimed = await claimOne(session);
  await session.complete([claimed]);
  const before = await row(database(), claimed.id);
  expect(await session.complete([claimed])).toEqual(['accepted']);
  expect(await row(database(), claimed.id)).toEqual(before);
});

test('of many completions those that are not accepted are told apart, in any order', async () => {
  await using session = await startSession(database());
  await submit(database(), 6);
  const claimed = await session.claim(6);
  const [stale, , , other] = claimed.toReversed();
  await session.fail([stale!]);
  const unknown = { id: randomUUID(), attempt: 1 };
  const reports = [...claimed.toReversed(), unknown, { id: other!.id, attempt: 7 }].map(
    ({ id, attempt }, n) => ({ id, attempt, outcome: 'completed' as const, result: { n } }),
  );
  expect(await finish(database().pool, session.session, reports)).toEqual([
    'stale',
    ...Array.from({ length: 5 }, () => 'accepted'),
    'unknown',
    'stale',
  ]);
  const rows = await Promise.all(claimed.toReversed().map(({ id }) => row(database(), id)));
  expect(rows.map(({ status }) => status)).toEqual([
    'FAILED',
    ...rows.slice(1).map(() => 'COMPLETED'),
  ]);
  expect(rows.map(({ result }) => result)).toEqual([
    null,
    ...rows.slice(1).map((_, n) => ({ n: n + 1 })),
  ]);
});

test('completions in no order are nobody else’s', async () => {
  await using session = await startSession(database());
  await submit(database(), 5);
  const claimed = (await session.claim(5)).toReversed();
  const { rows } = await database().pool.query(
    'select * from executor.finish_completed($1, $2, $3, $4)',
    [
      session.session,
      claimed.map(({ id }) => id),
      claimed.map(({ attempt }) => attempt),
      JSON.stringify(claimed.map(({ id }) => ({ id }))),
    ],
  );
  expect(rows).toEqual([]);
  for (const { id } of claimed)
    expect(await row(database(), id)).toMatchObject({ status: 'COMPLETED', result: { id } });
});

test('no result and a result that is null are told apart', async () => {
  await using session = await startSession(database());
  await submit(database(), 2);
  const ids = (await session.claim(2)).map(({ id }) => id);
  const results = [undefined, null];
  const reports = ids.map((id, n) => ({
    id,
    attempt: 1,
    outcome: 'completed' as const,
    result: results[n],
  }));
  // Apart, and not together: together they take another way.
  for (const report of reports)
    expect(await finish(database().pool, session.session, [report])).toEqual(['accepted']);
  const { rows } = await database().pool.query(
    'select result is null as absent from executor.commands where id = any ($1) order by id',
    [ids],
  );
  expect(rows).toEqual([{ absent: true }, { absent: false }]);
});

test('another outcome after the first is stale', async () => {
  await using session = await startSession(database());
  const claimed = await claimOne(session);
  await session.complete([claimed]);
  expect(await session.fail([claimed])).toEqual(['stale']);
  expect(await row(database(), claimed.id)).toMatchObject({ status: 'COMPLETED' });
});

test.each([
  ['another session', { session: randomUUID() }],
  ['an older attempt', { attempt: 0 }],
  ['a later attempt', { attempt: 2 }],
])('a report of %s is stale and changes nothing', async (_name, wrong) => {
  await using session = await startSession(database());
  const claimed = await claimOne(session);
  const report = { ...claimed, session: session.session, ...wrong };
  const answer = await finish(database().pool, report.session, [
    { id: report.id, attempt: report.attempt, outcome: 'completed', result: {} },
  ]);
  expect(answer).toEqual(['stale']);
  expect(await row(database(), claimed.id)).toMatchObject({ status: 'RUNNING' });
  await session.complete([claimed]);
});

test('a report for a command that is waiting again is stale', async () => {
  await using session = await startSession(database());
  const claimed = await claimOne(session);
  await session.release([claimed]);
  expect(await session.complete([claimed])).toEqual(['stale']);
  await session.complete(await session.claim());
});

test('a report for a command that is not there is unknown', async () => {
  await using session = await startSession(database());
  expect(await session.complete([{ id: randomUUID(), attempt: 1 }])).toEqual(['unknown']);
});

test('answers come in the order of the reports, also for a report that comes twice', async () => {
  await using session = await startSession(database());
  await submit(database(), 3);
  const [a, b, c] = await session.claim(3);
  const gone = { id: randomUUID(), attempt: 1 };
  const reports = [c!, gone, a!, { ...b!, attempt: 9 }, c!];
  expect(await session.complete(reports)).toEqual([
    'accepted',
    'unknown',
    'accepted',
    'stale',
    'accepted',
  ]);
  await session.complete([b!]);
});

test('what somebody forges beside an honest report costs that nothing', async () => {
  await using session = await startSession(database());
  const claimed = await claimOne(session);
  const honest = { ...claimed, outcome: 'completed', result: { honest: true } };
  const forged = [
    { ...honest, attempt: claimed.attempt + 1, result: {} },
    { ...honest, session: randomUUID(), result: {} },
  ];
  const reports = [forged[0], { session: session.session, ...honest }, forged[1]];
  const { rows } = await database().pool.query<{ answer: string }>(
    'select answer from executor.finish($1)',
    [JSON.stringify(reports.map((report) => ({ session: session.session, ...report })))],
  );
  expect(rows.map(({ answer }) => answer)).toEqual(['stale', 'accepted', 'stale']);
  expect(await row(database(), claimed.id)).toMatchObject({ result: { honest: true } });
});

test('one failure among many completions is one failure', async () => {
  await using session = await startSession(database());
  await submit(database(), 20);
  const claimed = await session.claim(20);
  const reports = claimed.map(({ id, attempt }, i) =>
    i === 7
      ? { id, attempt, outcome: 'failed', error: { code: 'x', message: '', retryable: false } }
      : { id, attempt, outcome: 'completed', result: { i } },
  );
  const answers = await finish(database().pool, session.session, reports as never);
  expect(new Set(answers)).toEqual(new Set(['accepted']));
  const { rows } = await database().pool.query<{ id: string; status: string; i: number | null }>(
    `select id, status, (result ->> 'i')::integer as i from executor.commands where id = any ($1)`,
    [claimed.map(({ id }) => id)],
  );
  const byId = new Map(rows.map(({ id, ...rest }) => [id, rest]));
  expect(claimed.map(({ id }) => byId.get(id))).toEqual(
    claimed.map((_, i) => (i === 7 ? { status: 'FAILED', i: null } : { status: 'COMPLETED', i })),
  );
});

test('an outcome that there is not is refused', async () => {
  await using session = await startSession(database());
  const claimed = await claimOne(session);
  await expect(
    finish(database().pool, session.session, [{ ...claimed, outcome: 'lost' } as never]),
  ).rejects.toMatchObject({ code: 'ZX004' });
  await session.complete([claimed]);
});

test('a finished command never changes, not even from psql', async () => {
  await using session = await startSession(database());
  const claimed = await claimOne(session);
  await session.complete([claimed]);
  for (const change of [`status = 'PENDING', finished_at = null, session = null`, `result = '1'`]) {
    await expect(
      database().pool.query(`update executor.commands set ${change} where id = $1`, [claimed.id]),
    ).rejects.toMatchObject({ code: 'ZX005' });
  }
});

test('the command shows each of its attempts', async () => {
  await using session = await startSession(database());
  const claimed = await claimOne(session);
  await session.release([claimed]);
  await session.fail(await session.claim());
  const { rows } = await database().pool.query(
    `select attempt, agent_id, outcome, error from executor.command_attempts
     where command_id = $1 order by attempt`,
    [claimed.id],
  );
  const agent_id = session.agentId;
  expect(rows).toEqual([
    { attempt: 1, agent_id, outcome: 'released', error: null },
    { attempt: 2, agent_id, outcome: 'failed', error: ERROR },
  ]);
});
