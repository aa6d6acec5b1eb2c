import { setImmediate as nextTurn } from 'node:timers/promises';
import pino from 'pino';
import { expect, test } from 'vitest';
import type { Outcome } from '../../agent/journal-file.ts';
import { Reporter } from '../../agent/reporter.ts';
import { finish, type AttemptKey, type Report } from '../../db/agents.ts';
import { useDatabase } from '../support/database.ts';
import { row, startSession, submit } from '../support/session.ts';

const database = useDatabase();
const log = pino({ level: 'silent' });
/** One that takes everything. */
const journal = { record: () => Promise.resolve(1), acknowledge: () => {} };

test('a report that the database cannot store fails its command, and not its neighbours', async () => {
  await using session = await startSession(database());
  await submit(database(), 3);
  const [a, bad, c] = await session.claim(3);
  const reporter = new Reporter({
    journal,
    finish: (reports) => finish(database().pool, session.session, reports),
    log,
  });
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
  const finish = async (reports: Report[]) => {
    batches.push(reports.length);
    await Promise.resolve();
    return reports.map(() => 'accepted' as const);
  };
  const reporter = new Reporter({ journal, finish, log });
  const outcome = completed({ id: '', attempt: 1 }, {});
  await Promise.all(Array.from({ length: 700 }, () => reporter.report(outcome)));
  expect(batches).toEqual([500, 200]);
});

test('a report is repeated until the ledger answers', async () => {
  let failures = 3;
  const finish = (reports: Report[]) => {
    failures -= 1;
    if (failures >= 0) return Promise.reject(new Error('Connection terminated'));
    return Promise.resolve(reports.map(() => 'accepted' as const));
  };
  const reporter = new Reporter({ journal, finish, log });
  expect(await reporter.report(completed({ id: '', attempt: 1 }, {}))).toBe('accepted');
});

test('an outcome is reported after it was recorded, and acknowledged after it was reported', async () => {
  const steps: string[] = [];
  const reporter = new Reporter({
    journal: {
      record: async ({ report }) => {
        await nextTurn();
        steps.push(`recorded ${report.id}`);
        return 7;
      },
      acknowledge: (receipt) => void steps.push(`acknowledged ${receipt}`),
    },
    finish: async ([report]) => {
      await nextTurn();
      steps.push(`reported ${report?.id}`);
      return ['accepted'];
    },
    log,
  });
  await reporter.report(completed({ id: 'a', attempt: 1 }, {}));
  expect(steps).toEqual(['recorded a', 'reported a', 'acknowledged 7']);
});

test('what the ledger should hear first goes after the journal and before the outcome', async () => {
  const steps: string[] = [];
  const said = Promise.withResolvers<void>();
  const reporter = new Reporter({
    journal: {
      record: () => {
        steps.push('recorded');
        return Promise.resolve(1);
      },
      acknowledge: () => {},
    },
    finish: () => {
      steps.push('reported');
      return Promise.resolve(['accepted']);
    },
    log,
  });
  const reported = reporter.report(completed({ id: 'a', attempt: 1 }, {}), said.promise);
  for (let turn = 0; turn < 5; turn += 1) await nextTurn();
  steps.push('said');
  said.resolve();
  await reported;
  expect(steps).toEqual(['recorded', 'said', 'reported']);
});

test('a report that the ledger refuses whatever it says does not hold up the others', async () => {
  await using session = await startSession(database());
  await submit(database());
  const [good] = await session.claim();
  const reporter = new Reporter({
    journal,
    finish: (reports) => finish(database().pool, session.session, reports),
    log,
  });
  const answers = await Promise.all([
    reporter.report(completed({ id: 'not a uuid', attempt: 1 }, {})),
    reporter.report(completed(good!, {})),
  ]);
  expect(answers).toEqual(['unknown', 'accepted']);
});

function completed({ id, attempt }: AttemptKey, result: unknown): Outcome {
  return { report: { id, attempt, outcome: 'completed', result }, executedAt: 0 };
}

test('a batch that is too large for one statement goes in halves', async () => {
  const taken: number[] = [];
  const finish = (reports: Report[]) => {
    if (reports.length > 3) return Promise.reject(new RangeError('Invalid string length'));
    taken.push(reports.length);
    return Promise.resolve(reports.map(() => 'accepted' as const));
  };
  const reporter = new Reporter({ journal, finish, log });
  const outcome = completed({ id: '', attempt: 1 }, {});
  await Promise.all(Array.from({ length: 10 }, () => reporter.report(outcome)));
  expect(taken).toEqual([3, 2, 3, 2]);
});
