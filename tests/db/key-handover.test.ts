// The moment at which a key changes hands: one finishes its only command while another submits the next.
// Whoever comes second has to see what the first did, or leave the key to the tick.

import { expect, test } from 'vitest';
import { connect } from '../../db/connect.ts';
import { readDefinitions } from '../../db/definitions.ts';
import { tick } from '../../db/recovery.ts';
import { expectWaiting, item, openTransaction, submitBatch } from '../support/batches.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { row, startSession } from '../support/session.ts';

const database = useDatabase();

const GATE = 4712;

/** Takes the key's lock as unblock() does, but stands still before that where `test.waits` is set. */
const TRY_LOCK = `
  create or replace function executor.try_lock_behind_gate(p_key bigint) returns boolean
  language plpgsql volatile as $$
  begin
    if current_setting('test.waits', true) = 'yes' then
      perform pg_advisory_xact_lock(${GATE});
    end if;
    return pg_try_advisory_xact_lock(p_key);
  end
  $$`;

test('whoever has got the lock sees all that its last holder did', async () => {
  const { pool } = database();
  const { text = '' } = readDefinitions().find(({ name }) => name.endsWith('/unblock.sql')) ?? {};
  const parts = text.split('pg_try_advisory_xact_lock(');
  expect(parts).toHaveLength(2);
  await pool.query(TRY_LOCK);
  await pool.query(parts.join('executor.try_lock_behind_gate('));

  await using session = await startSession(database());
  await submitBatch(pool, [item({ concurrencyKey: 'k' })]);
  const running = await session.claim();
  const next = item({ concurrencyKey: 'k' });
  await using gate = await openTransaction(pool);
  await gate.client.query(`select pg_advisory_xact_lock(${GATE})`);
  await using slow = await openTransaction(pool);
  await slow.client.query(`set local test.waits = 'yes'`);
  const submitted = submitBatch(slow.client, [next]);
  await expectWaiting(pool);
  expect(await session.complete(running)).toEqual(['accepted']);
  await gate.commit();
  await submitted;
  await slow.commit();
  expect(await row(database(), next.id)).toMatchObject({ status: 'PENDING' });

  await pool.query(text);
  await emptyLedger(database());
});

const KEYS = 8;
const ROUNDS = 300;

test(
  `${KEYS * ROUNDS} times, no key is given away twice or forgotten`,
  { timeout: 60_000 },
  async () => {
    const wide = connect(database().url, { applicationName: 'test', max: 2 * KEYS });
    await using session = await startSession(database());
    const keys = Array.from({ length: KEYS }, (_, i) => `key ${i}`);
    const next = () => keys.map((concurrencyKey) => item({ concurrencyKey }));
    await submitBatch(wide.pool, next());
    for (let round = 0; round < ROUNDS; round += 1) {
      const running = await session.claim(KEYS);
      expect(running).toHaveLength(KEYS);
      const finishes = running.map((one) => () => sessionFinishes(wide.pool, session.session, one));
      const submissions = next().map((one) => () => submitBatch(wide.pool, [one]));
      const all = finishes.flatMap((finish, i) => [finish, submissions[i] ?? finish]);
      // Now the one is a little earlier, now the other.
      await Promise.all((round % 2 ? all : all.toReversed()).map((act) => act()));

      const { rows } = await wide.pool.query<{ forgotten: boolean }>(
        `select status = 'BLOCKED' and not exists (
           select from executor.contended_keys k where k.concurrency_key = c.concurrency_key
         ) as forgotten
         from executor.commands c where finished_at is null`,
      );
      expect(rows).toHaveLength(KEYS);
      expect(rows.filter(({ forgotten }) => forgotten)).toEqual([]);
      await tick(wide.pool);
    }
    await wide.close();
  },
);

async function sessionFinishes(
  pool: ReturnType<typeof connect>['pool'],
  session: string,
  { id, attempt }: { id: string; attempt: number },
): Promise<void> {
  const report = { id, attempt, session, outcome: 'completed', result: {} };
  await pool.query('select executor.finish($1)', [JSON.stringify([report])]);
}
