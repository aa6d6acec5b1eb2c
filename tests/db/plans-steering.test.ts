// Statistics must not matter to keys, cancelling, retrying and progress either: nothing reads the backlog
// that came after the tables were drained and analysed. See plans.test.ts.

import { beforeAll, expect, test } from 'vitest';
import { v7 } from 'uuid';
import { cancelCommands, item, submitBatch, type Item } from '../support/batches.ts';
import { useDatabase } from '../support/database.ts';
import { countReads, freezeStatistics } from '../support/reads.ts';
import { startSession, type Session } from '../support/session.ts';

const database = useDatabase();
const pool = () => database().pool;

/** Waiting for one key, waiting with a key each, ready, and deferred: so many of each. */
const BACKLOG = 4_000;
const BATCH = 20;

/** Far above what look-ups take for a batch, far below the backlog. */
const MOST_READ = BATCH * 175;

let session: Session;
let known: Item[];

beforeAll(async () => {
  session = await startSession(database());
  await submitMany(1_000, (i) => ({ concurrencyKey: `key ${i}`, idempotencyKey: `key ${i}` }));
  await submitMany(1_000, () => ({ delayMs: 0, concurrencyKey: 'hot' }));
  await submitMany(1_000, () => ({ maxAttempts: 1 }));
  for (let batch = 0; batch < 3; batch += 1) {
    const claimed = await session.claim(1_000);
    const reports = claimed.map(({ id, attempt }) => ({ id, attempt, progress: 0, lines: [] }));
    await say(reports);
    await session.complete(claimed.slice(0, 500));
    await session.fail(claimed.slice(500));
    await pool().query('call executor.tick(null)');
  }
  // Truncated: on 15, what vacuum leaves of the table's length would count (see ARCHITECTURE.md).
  await pool().query(`
    truncate executor_queue.job;
    delete from executor.commands where finished_at is null;
    delete from executor.idempotency_keys;
    delete from executor.contended_keys`);
  await freezeStatistics(pool());

  // All of it without holding a lock, as the lock table has no room for a thousand at once.
  known = await submitMany(BACKLOG, (i) => ({ concurrencyKey: 'hot', idempotencyKey: `hot ${i}` }));
  await submitMany(BACKLOG, (i) => ({ concurrencyKey: `key ${i}`, priority: -1 }));
  await submitMany(BACKLOG, () => ({ priority: -1 }));
  await submitMany(BACKLOG, (i) => ({ delayMs: 3_600_000, concurrencyKey: `deferred ${i}` }));
  for (let i = 0; i < 3; i += 1) await pool().query('call executor.tick(null)');
  // Thousands of keys were contended for a while. Truncated: whoever looks at this database just now (an
  // autovacuum worker) would keep scans from marking what is left of them as dead.
  const { rowCount } = await pool().query('select from executor.contended_keys limit 1');
  if (rowCount) throw new Error('keys are still contended after three ticks');
  await pool().query('truncate executor.contended_keys');
}, 120_000);

async function submitMany(
  count: number,
  options: (i: number) => Record<string, unknown>,
): Promise<Item[]> {
  const items = Array.from({ length: count }, (_, i) => item(options(i)));
  for (let i = 0; i < count; i += 500) await submitBatch(pool(), items.slice(i, i + 500));
  return items;
}

async function say(reports: object[]): Promise<string[]> {
  const { rows } = await pool().query<{ answer: string }>(
    'select answer from executor.report_progress($1, $2)',
    [session.session, JSON.stringify(reports)],
  );
  return rows.map(({ answer }) => answer);
}

async function find(condition: string, count = BATCH): Promise<string[]> {
  const { rows } = await pool().query<{ id: string }>(
    `select id from executor.commands where ${condition} limit ${count}`,
  );
  expect(rows).toHaveLength(count);
  return rows.map(({ id }) => id);
}

/** Six times, for a plan may be made for good after five. */
async function expectCheap(name: string, run: () => Promise<unknown>, most = MOST_READ) {
  const reads: number[] = [];
  for (let round = 1; round <= 6; round += 1)
    reads.push(await countReads([pool(), session.claims.pool], run));
  expect({ name, isCheap: Math.max(...reads) < most, reads }).toEqual({
    name,
    isCheap: true,
    reads,
  });
}

const claimed = async (count = BATCH) => {
  const commands = await session.claim(count);
  expect(commands).toHaveLength(count);
  return commands;
};

test('claiming and finishing commands with keys', async () => {
  let commands: Awaited<ReturnType<typeof claimed>> = [];
  await expectCheap('claim', async () => (commands = await claimed()));
  const rest = commands;
  await expectCheap('claim and finish', async () => session.complete(await claimed()));
  await expectCheap('claim and fail', async () => session.fail(await claimed()));
  await session.complete(rest);
});

test('handing on a key for which thousands wait', async () => {
  await expectCheap('hand on', async () => {
    const commands = await session.claim(1);
    expect(commands).toHaveLength(1);
    await session.complete(commands);
  });
});

test('looking again at keys that were contended', async () => {
  await expectCheap('contended', async () => {
    await pool().query(
      `insert into executor.contended_keys (concurrency_key)
       select 'key ' || i from generate_series(1, ${BATCH - 1}) as i union all select 'hot'`,
    );
    await pool().query('select executor.unblock_contended(9223372036854775807)');
  });
});

test.each([
  ['PENDING', `status = 'PENDING' and concurrency_key is null`],
  ['BLOCKED', `status = 'BLOCKED' and concurrency_key = 'hot'`],
  ['SCHEDULED', `status = 'SCHEDULED'`],
])('cancelling what is %s', async (status, condition) => {
  const ids = await find(condition, 6 * BATCH);
  await expectCheap(`cancel ${status}`, async () => {
    const answers = await cancelCommands(pool(), ids.splice(0, BATCH));
    expect(new Set(answers)).toEqual(new Set(['cancelled']));
  });
});

test('cancelling what runs, hearing of it and ending it', async () => {
  const commands = await claimed(6 * BATCH);
  const reported: typeof commands = [];
  await expectCheap('cancel RUNNING', async () => {
    const some = commands.slice(reported.length, reported.length + BATCH);
    reported.push(...some);
    await cancelCommands(
      pool(),
      some.map(({ id }) => id),
    );
  });
  await expectCheap('beat', () => session.beat(commands, 0), MOST_READ * 3);
  await expectCheap('cancelled', () => session.report(commands.splice(0, BATCH), 'cancelled'));
});

test('saying how far one is', async () => {
  const commands = await claimed();
  let no = 0;
  await expectCheap('progress', async () => {
    no += 1;
    const lines = [{ no, line: 'x' }];
    await say(commands.map(({ id, attempt }) => ({ id, attempt, progress: 0.5, lines })));
  });
  await session.complete(commands);
});

test('submitting with idempotency keys, known ones and new ones', async () => {
  await expectCheap('submit', async () => {
    const again = known.splice(0, BATCH / 2).map((one) => ({ ...one, id: v7() }));
    const fresh = Array.from({ length: BATCH / 2 }, () => item({ idempotencyKey: v7() }));
    await submitBatch(pool(), [...again, ...fresh]);
  });
});

test('purging idempotency keys', async () => {
  await expectCheap('purge', async () => {
    const keys = known.splice(0, BATCH).map(({ idempotencyKey }) => idempotencyKey);
    await pool().query(
      `update executor.idempotency_keys set created_at = now() - interval '25 h' where key = any ($1)`,
      [keys],
    );
    const { rows } = await pool().query('select executor.purge() as purged');
    expect(rows).toEqual([{ purged: BATCH }]);
  });
});

test('promoting what has a key', async () => {
  const ids = await find(`status = 'SCHEDULED'`, 6 * BATCH);
  await expectCheap('promote', async () => {
    await pool().query('update executor.commands set run_at = created_at where id = any ($1)', [
      ids.splice(0, BATCH),
    ]);
    const { rows } = await pool().query('select executor.promote() as promoted');
    expect(rows).toEqual([{ promoted: BATCH }]);
  });
});

test('retrying what has FAILED', async () => {
  const ids = await find(`status = 'FAILED'`, 6 * BATCH);
  await expectCheap('retry', async () => {
    await pool().query('select executor.retry_commands($1)', [ids.splice(0, BATCH)]);
  });
});

test('repairing a stretch of the ledger', async () => {
  await pool().query(
    `update executor.clock set repaired_to = (
       select max(id::text)::uuid from executor.commands where concurrency_key like 'key %')`,
  );
  await expectCheap('repair', () => pool().query(`select executor.repair(${BATCH})`));
});

// Not the first of its second: that one repairs and purges a thousand rows (a stretch of each: above).
test('a whole tick', async () => {
  await pool().query(`update executor.clock set ticked_at = clock_timestamp() + interval '1 h'`);
  await expectCheap('tick', async () => {
    await pool().query('call executor.tick(null)');
  });
});
