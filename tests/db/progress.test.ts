// What executors say while they run: only the attempt that runs may speak, repeating is harmless, and
// nobody waits for anybody.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { v7 } from 'uuid';
import type { AttemptKey } from '../../db/agents.ts';
import { cancelCommands, openTransaction } from '../support/batches.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { startSession, submit, type Session } from '../support/session.ts';

const database = useDatabase();

beforeEach(() => emptyLedger(database()));

const pool = () => database().pool;

type Said = AttemptKey & { progress?: unknown; message?: unknown; lines?: unknown };

const REPORT = 'select * from executor.report_progress($1, $2)';

async function say(session: string, ...reports: Said[]): Promise<string[]> {
  const { rows } = await pool().query<{ command_id: string; attempt: number; answer: string }>(
    REPORT,
    [session, JSON.stringify(reports)],
  );
  expect(rows.map(({ command_id: id, attempt }) => ({ id, attempt }))).toEqual(
    reports.map(({ id, attempt }) => ({ id, attempt })),
  );
  return rows.map(({ answer }) => answer);
}

async function heard() {
  const { rows } = await pool().query<{ said: unknown; lines: string[] }>(
    `select
      (select coalesce(jsonb_agg(jsonb_build_array(attempt, progress, message) order by command_id), '[]')
       from executor.progress) as said,
      array(select attempt || '.' || line_no || ' ' || line from executor.command_logs
            order by command_id, attempt, line_no) as lines`,
  );
  return rows[0];
}

async function claimOne(session: Session): Promise<AttemptKey> {
  await submit(database());
  const [claimed] = await session.claim(1);
  if (!claimed) throw new Error('nothing to claim');
  return { id: claimed.id, attempt: claimed.attempt };
}

describe('what is said', () => {
  test('replaces what was said before; lines are added to the log', async () => {
    await using session = await startSession(database());
    const key = await claimOne(session);
    const first = { ...key, progress: 0.25, message: 'a quarter', lines: [{ no: 1, line: 'one' }] };
    expect(await say(session.session, first)).toEqual(['accepted']);
    const second = {
      ...key,
      progress: 1,
      lines: [
        { no: 2, line: 'two' },
        { no: 3, line: '' },
      ],
    };
    expect(await say(session.session, second)).toEqual(['accepted']);
    expect(await heard()).toEqual({ said: [[1, 1, null]], lines: ['1.1 one', '1.2 two', '1.3 '] });
    expect(await say(session.session, { ...key, lines: [{ no: 4, line: 'four' }] })).toEqual([
      'accepted',
    ]);
    expect((await heard())?.said).toEqual([[1, 1, null]]);
  });

  test('may be said again: a line stays as it was first said', async () => {
    await using session = await startSession(database());
    const key = await claimOne(session);
    const report = { ...key, progress: 0.5, lines: [{ no: 1, line: 'one' }] };
    await say(session.session, report);
    const again = {
      ...report,
      lines: [
        { no: 1, line: 'other' },
        { no: 2, line: 'two' },
      ],
    };
    expect(await say(session.session, again)).toEqual(['accepted']);
    expect(await heard()).toEqual({ said: [[1, 0.5, null]], lines: ['1.1 one', '1.2 two'] });
  });

  test('by a newer attempt replaces that of an older one; the log keeps both', async () => {
    await using session = await startSession(database());
    const key = await claimOne(session);
    await say(session.session, { ...key, progress: 0.9, lines: [{ no: 1, line: 'first' }] });
    await session.release([key]);
    const [again] = await session.claim(1);
    const newer = { id: key.id, attempt: again?.attempt ?? 0 };
    const report = { ...newer, progress: 0.1, lines: [{ no: 1, line: 'second' }] };
    expect(await say(session.session, { ...key, progress: 1 }, report)).toEqual([
      'stale',
      'accepted',
    ]);
    expect(await heard()).toEqual({ said: [[2, 0.1, null]], lines: ['1.1 first', '2.1 second'] });
  });

  test('of two hundred commands is stored in one statement, the rest is stale', async () => {
    await using session = await startSession(database());
    await submit(database(), 200);
    const claimed = await session.claim(200);
    const keys = claimed.map(({ id, attempt }) => ({ id, attempt }));
    await session.complete(keys.slice(0, 50));
    const reports = keys.map((key, i) => ({
      ...key,
      progress: i / 200,
      lines: [{ no: 1, line: `line ${i}` }],
    }));
    const answers = await say(session.session, ...reports.toReversed(), { id: v7(), attempt: 1 });
    expect(answers).toEqual([...Array(150).fill('accepted'), ...Array(51).fill('stale')]);
    expect((await heard())?.lines).toHaveLength(150);
    expect(await say(session.session)).toEqual([]);
  });

  test.each([
    ['progress above 1', { progress: 1.01 }],
    ['progress below 0', { progress: -0.01 }],
    ['progress that is no number', { progress: 'NaN' }],
    ['a message of 501 characters', { message: 'x'.repeat(501) }],
    ['line 0', { lines: [{ no: 0, line: 'x' }] }],
    ['line 1001', { lines: [{ no: 1001, line: 'x' }] }],
    ['a line of 2,001 characters', { lines: [{ no: 1, line: 'x'.repeat(2_001) }] }],
  ])('is refused with %s, and nothing of the batch is stored', async (_name, wrong) => {
    await using session = await startSession(database());
    const good = await claimOne(session);
    const bad = await claimOne(session);
    const said = say(session.session, { ...good, progress: 0.5 }, { ...bad, ...wrong });
    await expect(said).rejects.toMatchObject({ code: '23514' });
    expect(await heard()).toEqual({ said: [], lines: [] });
  });

  test('is taken up to the bounds', async () => {
    await using session = await startSession(database());
    const key = await claimOne(session);
    const lines = [1, 1_000].map((no) => ({ no, line: '😀'.repeat(2_000) }));
    const report = { ...key, progress: 1, message: '😀'.repeat(500), lines };
    expect(await say(session.session, report)).toEqual(['accepted']);
    expect((await heard())?.lines).toHaveLength(2);
  });
});

describe('stale, and not stored, is what is said', () => {
  test.each([
    ['by another session', (_key: AttemptKey) => ({})],
    ['about an older attempt', ({ id, attempt }: AttemptKey) => ({ id, attempt: attempt - 1 })],
    ['about a later attempt', ({ id, attempt }: AttemptKey) => ({ id, attempt: attempt + 1 })],
    ['about a command that is not there', () => ({ id: v7() })],
  ])('%s', async (name, change) => {
    await using session = await startSession(database());
    const key = await claimOne(session);
    const by = name === 'by another session' ? randomUUID() : session.session;
    const report = { ...key, ...change(key), progress: 0.5, lines: [{ no: 1, line: 'x' }] };
    expect(await say(by, report)).toEqual(['stale']);
    expect(await heard()).toEqual({ said: [], lines: [] });
  });

  test.each([
    ['completed', (session: Session, key: AttemptKey) => session.complete([key])],
    ['failed', (session: Session, key: AttemptKey) => session.fail([key])],
    ['given back', (session: Session, key: AttemptKey) => session.release([key])],
    ['never started', (session: Session, _key: AttemptKey) => session.beat([], 1)],
  ])('when the attempt is %s', async (_name, end) => {
    await using session = await startSession(database());
    const key = await claimOne(session);
    await end(session, key);
    const report = { ...key, progress: 0.5, lines: [{ no: 1, line: 'x' }] };
    expect(await say(session.session, report)).toEqual(['stale']);
    expect(await heard()).toEqual({ said: [], lines: [] });
  });

  test('but not when somebody has asked to cancel it: it runs', async () => {
    await using session = await startSession(database());
    const key = await claimOne(session);
    await cancelCommands(pool(), [key.id]);
    expect(await say(session.session, { ...key, progress: 0.5 })).toEqual(['accepted']);
  });
});

describe('nobody waits', () => {
  test('for a row that somebody holds locked: that is busy, the others are not', async () => {
    await using session = await startSession(database());
    const [held, free] = [await claimOne(session), await claimOne(session)];
    await using psql = await openTransaction(pool());
    await psql.client.query('select from executor.commands where id = $1 for update', [held.id]);
    const reports = [held, free].map((key) => ({ ...key, progress: 0.5, lines: [] }));
    expect(await say(session.session, ...reports)).toEqual(['busy', 'accepted']);
    await psql.rollback();
    expect(await say(session.session, ...reports)).toEqual(['accepted', 'accepted']);
  });

  test('for what is being said: results, cancels and recovery pass', async () => {
    await using session = await startSession(database(), 'phoenix');
    await submit(database(), 4);
    const claimed = await session.claim(4);
    const keys = claimed.map(({ id, attempt }) => ({ id, attempt }));
    const [completes, fails, returns, lost] = keys as [
      AttemptKey,
      AttemptKey,
      AttemptKey,
      AttemptKey,
    ];
    await using psql = await openTransaction(pool());
    const reports = keys.map((key) => ({ ...key, progress: 0.5, lines: [{ no: 1, line: 'x' }] }));
    await psql.client.query(REPORT, [session.session, JSON.stringify(reports)]);
    await psql.client.query(`set local lock_timeout = '1s'`);

    expect(await cancelCommands(pool(), [returns.id])).toEqual(['requested']);
    expect(await session.complete([completes])).toEqual(['accepted']);
    expect(await session.fail([fails])).toEqual(['accepted']);
    expect(await session.release([returns])).toEqual(['accepted']);
    await pool().query(`update executor.agents set session = gen_random_uuid()`);
    const { rows } = await pool().query('select executor.recover() as recovered');
    expect(rows).toEqual([{ recovered: 1 }]);
    await psql.commit();
    const { rows: statuses } = await pool().query<{ id: string; status: string }>(
      'select id, status::text from executor.commands',
    );
    expect(Object.fromEntries(statuses.map(({ id, status }) => [id, status]))).toEqual({
      [completes.id]: 'COMPLETED',
      [fails.id]: 'FAILED',
      [returns.id]: 'CANCELLED',
      [lost.id]: 'PENDING',
    });
  });

  test('for what is being finished: it is accepted or stale, and either is harmless', async () => {
    await using session = await startSession(database());
    const [completes, fails] = [await claimOne(session), await claimOne(session)];
    await using psql = await openTransaction(pool());
    const report = ({ id, attempt }: AttemptKey, outcome: string) => ({
      id,
      attempt,
      outcome,
      session: session.session,
    });
    await psql.client.query('select executor.finish($1)', [
      JSON.stringify([report(completes, 'completed'), report(fails, 'failed')]),
    ]);
    const reports = [completes, fails].map((key) => ({ ...key, progress: 0.5 }));
    expect(await say(session.session, ...reports)).toEqual(['accepted', 'accepted']);
    await psql.commit();
    expect(await say(session.session, ...reports)).toEqual(['stale', 'stale']);
  });

  test('and many at once do not deadlock with those who finish and cancel', async () => {
    const sessions = await Promise.all(Array.from({ length: 4 }, () => startSession(database())));
    const overAt = performance.now() + 2_500;
    const isOver = () => performance.now() > overAt;
    const running = new Map<string, { session: string; key: AttemptKey }>();
    const execute = async (session: Session) => {
      while (!isOver()) {
        await submit(database(), 10);
        const claimed = await session.claim(10);
        for (const { id, attempt } of claimed)
          running.set(id, { session: session.session, key: { id, attempt } });
        await sleep(10);
        await session.complete(claimed.slice(0, 5));
        await session.fail(claimed.slice(5, 8).toReversed());
        await session.release(claimed.slice(8));
        for (const { id } of claimed) running.delete(id);
      }
    };
    const speak = async () => {
      while (!isOver()) {
        await sleep(1);
        const all = [...running.values()];
        const by = all[Math.floor(Math.random() * all.length)]?.session;
        const own = all.filter(({ session }) => session === by).map(({ key }) => key);
        const lines = [{ no: 1, line: 'x' }];
        await say(by ?? v7(), ...own.map((key) => ({ ...key, progress: Math.random(), lines })));
      }
    };
    const cancel = async () => {
      while (!isOver()) {
        await sleep(3);
        await cancelCommands(pool(), [...running.keys()].slice(0, 6));
      }
    };
    // Whoever is chosen to end a deadlock rejects.
    await expect(
      Promise.all([...sessions.map(execute), speak(), speak(), speak(), cancel(), cancel()]),
    ).resolves.toBeDefined();
    for (const session of sessions) await session[Symbol.asyncDispose]();
  });
});
