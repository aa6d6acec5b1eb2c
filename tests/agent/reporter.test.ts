import pino from 'pino';
import { expect, test } from 'vitest';
import { Reporter } from '../../agent/reporter.ts';
import { finish, type AttemptKey, type Report } from '../../db/agents.ts';
import { useDatabase } from '../support/database.ts';
import { row, startSession, submit } from '../support/session.ts';

const database = useDatabase();
const log = pino({ level: 'silent' });

test('a report that the database cannot store fails its command, and not its neighbours', async () => {
  await using session = await startSession(database());
  await submit(database(), 3);
  const [a, bad, c] = await session.claim(3);
  const reporter = new Reporter(
    (reports) => finish(database().pool, session.session, reports),
    log,
  );
  const answers = await Promise.all([
    reporter.report(completed(a!, { fine: true })),
    reporter.report(completed(bad!, { nul: '\u0000' })),
    reporter.report(completed(c!, { fine: true })),
  ]);
  expect(answers).toEqual(['accepted', 'accepted', 'accepted']);
  expect(await row(database(), a!.id)).toMatchObject({ status: 'COMPLETED' });
  expect(await row(database(), c!.id)).toMatchObject({ status: 'COMPLETED' });
  expect(await row(database(), bad!.id)).toMatchObject({
    status: 'FAILED',
    error: { code: 'unstorable_result', retryable: false },
  });
});

test('reports that arrive while others are on their way go together', async () => {
  const batches: number[] = [];
  const reporter = new Reporter(async (reports) => {
    batches.push(reports.length);
    await Promise.resolve();
    return reports.map(() => 'accepted');
  }, log);
  const report = { id: '', attempt: 1, outcome: 'completed', result: {} } as const;
  await Promise.all(Array.from({ length: 700 }, () => reporter.report(report)));
  expect(batches).toEqual([500, 200]);
});

test('a report is repeated until the ledger answers', async () => {
  let failures = 3;
  const reporter = new Reporter((reports) => {
    failures -= 1;
    if (failures >= 0) return Promise.reject(new Error('Connection terminated'));
    return Promise.resolve(reports.map(() => 'accepted'));
  }, log);
  expect(await reporter.report({ id: '', attempt: 1, outcome: 'completed', result: {} })).toBe(
    'accepted',
  );
});

function completed({ id, attempt }: AttemptKey, result: unknown): Report {
  return { id, attempt, outcome: 'completed', result };
}
