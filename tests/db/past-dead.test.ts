// Claims where many tickets are dead: claimed, and kept from vacuum by an old snapshot.

import { afterEach, beforeEach, expect, test } from 'vitest';
import type pg from 'pg';
import { v7 } from 'uuid';
import { submitCommands } from '../../db/commands.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { countReads } from '../support/reads.ts';
import { startSession, submit, type Session } from '../support/session.ts';

const database = useDatabase();

/** A claim reads each of them when it walks past them. */
const DEAD = 12_000;
const FAR_LESS = 4_000;

let snapshot: pg.PoolClient;

beforeEach(async () => {
  await emptyLedger(database());
  snapshot = await database().pool.connect();
  await snapshot.query('begin isolation level repeatable read; select from executor.queues');
});

afterEach(async () => {
  await snapshot.query('rollback');
  snapshot.release();
});

/** Puts dead tickets into the lanes of these types. */
async function bury(...types: string[]): Promise<void> {
  const client = await database().pool.connect();
  await client.query(`
    begin;
    insert into executor.tickets (id, lane, priority, ready_at)
    select gen_random_uuid(), l.name, 0, now() - interval '1 hour'
    from executor.lanes l, generate_series(1, ${DEAD})
    where l.type in ('${types.join("', '")}');
    delete from executor_queue.job_common;
    commit;
    select pg_stat_force_next_flush()`);
  client.release();
}

/** As if it was now so many ms after each look for where lanes begin. */
async function remember({ claims }: Session, leftMs: number): Promise<void> {
  const { rows } = await claims.pool.query(
    `select
       set_config(
         setting,
         concat_ws(' ', place[1], place[2], ((extract(epoch from now()) * 1000 + $1) * 1000)::bigint),
         false
       )
     from executor.lanes
     cross join lateral (select 'executor.first_place_of_' || name) as its (setting)
     cross join lateral (select string_to_array(current_setting(setting, true), ' ')) as known (place)
     where place[3] is not null`,
    [leftMs],
  );
  expect(rows).not.toEqual([]);
}

const HOUR_MS = 3_600_000;

async function fillOne(count: number): Promise<string[]> {
  await bury('DELAY');
  return await submit(database(), count);
}

async function fillTwo(count: number): Promise<string[]> {
  await bury('DELAY', 'HTTP_REQUEST');
  return await submitInTurns(count);
}

const LANES: [lanes: string, fill: (count: number) => Promise<string[]>][] = [
  ['one lane', fillOne],
  ['two lanes', fillTwo],
];

/** Puts commands into two lanes in turn; answers their ids. */
async function submitInTurns(count: number, priority = 0): Promise<string[]> {
  const batch = Array.from({ length: count }, (_, i) => ({
    id: v7(),
    priority,
    ...(i % 2 === 0
      ? { type: 'DELAY', payload: { ms: 0 } }
      : { type: 'HTTP_REQUEST', payload: { url: 'http://127.0.0.1/', method: 'GET' } }),
  }));
  await submitCommands(database().pool, batch);
  return batch.map(({ id }) => id);
}

const idsOf = (commands: { id: string }[]) => commands.map(({ id }) => id).toSorted();

test.each(LANES)('%s: only the first claim walks past what is dead', async (_, fill) => {
  const ids = await fill(300);
  await using session = await startSession(database());
  const first = await session.claim(50);
  await remember(session, HOUR_MS);
  let next: { id: string }[] = [];
  const pools = [session.claims.pool];
  expect(await countReads(pools, async () => (next = await session.claim(50)))).toBeLessThan(
    FAR_LESS,
  );
  expect(idsOf([...first, ...next])).toEqual(ids.slice(0, 100).toSorted());
  await remember(session, -1);
  expect(await countReads(pools, () => session.claim(50))).toBeGreaterThan(DEAD);
});

test.each(LANES)('%s: a higher priority comes first all the same', async (_, fill) => {
  await fill(60);
  await using session = await startSession(database());
  await session.claim(20);
  await remember(session, HOUR_MS);
  const urgent = await submitInTurns(8, 7);
  const later = await submitInTurns(8, -7);
  const claimed = await session.claim(10);
  expect(idsOf(claimed).filter((id) => urgent.includes(id))).toEqual(urgent.toSorted());
  expect(idsOf(await session.claim(38)).filter((id) => later.includes(id))).toEqual([]);
  expect(idsOf(await session.claim(100))).toEqual(later.toSorted());
});

test('what is given back comes first once lanes are looked at anew', async () => {
  const ids = await fillOne(60);
  await using session = await startSession(database());
  const claimed = await session.claim(20);
  await session.release(claimed.slice(0, 5));
  await remember(session, -1);
  expect(idsOf(await session.claim(5))).toEqual(ids.slice(0, 5).toSorted());
});

test.each(LANES)('%s: nothing is left behind, and none is claimed twice', async (_, fill) => {
  const ids = await fill(60);
  await using session = await startSession(database());
  // What is there before any other is claimed is where the lane begins.
  const [first, ...others] = await session.claim(20);
  await remember(session, HOUR_MS);
  await database().pool.query(
    `update executor.commands set created_at = created_at - interval '1 minute' where id = $1`,
    [first!.id],
  );
  await session.release([first!]);
  await database().pool.query(
    `update executor_queue.job_common set created_on = created_on - interval '1 minute' where id = $1`,
    [first!.id],
  );
  const next = await session.claim(20);
  expect(idsOf(next)).not.toContain(first!.id);
  const rest = await session.claim(100);
  expect(idsOf([...others, ...next, ...rest])).toEqual(ids.toSorted());
  expect(await session.claim(1)).toEqual([]);
});
