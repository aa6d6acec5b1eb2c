// Statistics must not matter. The scenario that once cost seconds a claim: the queue is drained and
// analysed, then a burst arrives, and nothing has analysed since. What is asserted is how much a
// statement reads, which no noisy machine changes.

import { beforeEach, describe, expect, test } from 'vitest';
import type { ClaimedCommand } from '../../db/claim.ts';
import { useDatabase } from '../support/database.ts';
import { countReads, freezeStatistics } from '../support/reads.ts';
import { startSession, submit, type Session } from '../support/session.ts';

const database = useDatabase();

const BACKLOG = 10_000;
const BATCH = 64;

/** Pages and index entries: far above what look-ups take for a batch, far below the backlog. */
const MOST_READ = BATCH * 70;

async function burst(drain: (session: Session) => Promise<unknown>): Promise<void> {
  const { pool } = database();
  await pool.query('truncate executor.commands, executor_queue.job cascade');
  const session = await startSession(database());
  await submit(database(), 3_000);
  await drain(session);
  await session[Symbol.asyncDispose]();
  await freezeStatistics(pool);
  for (let sent = 0; sent < BACKLOG; sent += 1_000) await submit(database(), 1_000);
}

/** How many pages and index entries the statements of `run` read. */
const read = (session: Session, run: () => Promise<unknown>) =>
  countReads([database().pool, session.claims.pool], run);

async function expectCheapStatements(session: Session): Promise<void> {
  for (let round = 1; round <= 6; round += 1) {
    let claimed: ClaimedCommand[] = [];
    const claim = async () => (claimed = await session.claim(BATCH, round));
    expect(await read(session, claim)).toBeLessThan(MOST_READ);
    expect(claimed).toHaveLength(BATCH);
    expect(await read(session, () => session.beat(claimed, round))).toBeLessThan(MOST_READ);
    const half = BATCH / 2;
    const complete = () => session.complete(claimed.slice(0, half));
    expect(await read(session, complete)).toBeLessThan(MOST_READ);
    const release = () => session.release(claimed.slice(half));
    expect(await read(session, release)).toBeLessThan(MOST_READ);
  }
}

test('after a drained and analysed queue and a burst, no statement reads the backlog', async () => {
  await burst(async (session) => session.complete(await session.claim(3_000)));
  await using session = await startSession(database());
  await expectCheapStatements(session);
});

describe('when the last tickets kept the drained table large', () => {
  beforeEach(() =>
    // What is left is at the table's end, so that vacuum cannot shorten it: 1 row on many pages.
    burst(async (session) => session.complete((await session.claim(3_000)).slice(0, -1))),
  );

  test('no function reads the backlog', async () => {
    await using session = await startSession(database());
    // On 15 and 16 pg-boss's own half of the claim reads the backlog here, until autovacuum's next
    // visit: see ARCHITECTURE.md. So the claim itself is only held to this from 17 on.
    const { rows } = await database().pool.query<{ skips: boolean }>(
      `select current_setting('server_version_num')::int < 170000 as skips`,
    );
    if (rows[0]?.skips) await database().pool.query('analyze executor_queue.job_common');
    await expectCheapStatements(session);
  });
});
