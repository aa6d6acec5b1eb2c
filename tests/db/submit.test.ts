import { v7, version } from 'uuid';
import { expect, test } from 'vitest';
import { submitCommands } from '../../db/commands.ts';
import { CommandRefusedError } from '../../db/errors.ts';
import { useDatabase } from '../support/database.ts';
import { row, startSession, submit } from '../support/session.ts';
import { listen } from '../support/listen.ts';

const database = useDatabase();

test('a submitted command is PENDING and has a ticket', async () => {
  const [id] = await submit(database());
  expect(await row(database(), id)).toMatchObject({ status: 'PENDING', attempt: 0, type: 'DELAY' });
  const ticket = await database().pool.query('select * from executor_queue.job where id = $1', [
    id,
  ]);
  expect(ticket.rows).toMatchObject([{ name: 'lane_1', state: 'created', data: null }]);
});

test('submit_command answers the bare id, a UUIDv7', async () => {
  const { rows } = await database().pool.query(
    `select executor.submit_command('DELAY', '{"ms": 50}') as id`,
  );
  expect(version(rows[0].id)).toBe(7);
});

test.each(['payload', 'metadata'])(
  'a %s of 65 levels is refused, one of 64 is not',
  async (member) => {
    const submitNested = (levels: number) => {
      const nested = { a: JSON.parse('['.repeat(levels) + ']'.repeat(levels)) as unknown };
      const command = { id: v7(), type: 'DELAY', payload: {}, [member]: nested };
      return database().pool.query('select executor.submit($1)', [JSON.stringify([command])]);
    };
    await expect(submitNested(65)).rejects.toMatchObject({ code: 'ZX003' });
    await submitNested(64);
  },
);

test('ids that one session draws rise', async () => {
  const { rows } = await database().pool.query<{ id: string }>(
    'select executor.uuid_v7() as id, pg_sleep(0.0001) from generate_series(1, 200)',
  );
  const milliseconds = rows.map(({ id }) => id.slice(0, 13));
  expect(milliseconds).toEqual(milliseconds.toSorted());
  expect(
    Math.abs(Date.now() - parseInt(rows[0]!.id.replace('-', '').slice(0, 12), 16)),
  ).toBeLessThan(60_000);
});

test('submitting the same ids again changes nothing and makes no second ticket', async () => {
  const batch = [{ id: v7(), type: 'DELAY', payload: { ms: 0 } }];
  await submitCommands(database().pool, batch);
  await using session = await startSession(database());
  const claimed = await session.claim(1_000);
  expect(await submitCommands(database().pool, batch)).toEqual([{ id: batch[0]!.id }]);
  expect(await session.claim()).toEqual([]);
  await session.complete(claimed);
});

test('a bad command in a batch fails alone', async () => {
  const outcomes = await submitCommands(database().pool, [
    { id: v7(), type: 'DELAY', payload: { ms: 0 } },
    { id: v7(), type: 'NOPE', payload: {} },
    { id: v7(), type: 'DELAY', payload: { ms: 0 } },
  ]);
  expect(outcomes.map((outcome) => 'id' in outcome)).toEqual([true, false, true]);
  expect(outcomes[1]).toMatchObject({ error: { code: 'unknown_type', pointer: '#/type' } });
});

test.each([
  ['an unknown type', { type: 'NOPE', payload: {} }, 'unknown_type'],
  ['an unknown queue', { type: 'DELAY', payload: {}, queue: 'nope' }, 'unknown_queue'],
  ['a payload that is no object', { type: 'DELAY', payload: [] as never }, 'invalid_payload'],
  ['no payload', { type: 'DELAY' } as never, 'invalid_payload'],
  ['a priority out of bounds', { type: 'DELAY', payload: {}, priority: 101 }, 'invalid_command'],
])('%s is refused and nothing is written', async (_name, command, code) => {
  const id = v7();
  const [outcome] = await submitCommands(database().pool, [{ id, ...command }]);
  expect(outcome).toMatchObject({ error: expect.any(CommandRefusedError) as unknown });
  expect(outcome).toMatchObject({ error: { code } });
  const found = await database().pool.query('select from executor.commands where id = $1', [id]);
  expect(found.rowCount).toBe(0);
});

test('a batch wakes agents once, with one notification a queue', async () => {
  await using heard = await listen(database().url, 'executor_work');
  await submit(database(), 50);
  await heard.count(1);
  await submit(database(), 1);
  await heard.count(2);
  expect(heard.payloads).toEqual(['default DELAY', 'default DELAY']);
});

test('an attempt of a DELAY may take its ms and a minute more', async () => {
  const [id] = await submit(database(), 1, { ms: 1_500 });
  const { rows } = await database().pool.query(
    'select extract(epoch from timeout)::float8 as seconds from executor.commands where id = $1',
    [id],
  );
  expect(rows).toEqual([{ seconds: 61.5 }]);
});

test('absurd values in a payload from psql do not break submission', async () => {
  for (const ms of ['1e400', '-1e400', '"x"', 'null', '{}']) {
    const { rowCount } = await database().pool.query(
      `select executor.submit_command('DELAY', '{"ms": ${ms}}')`,
    );
    expect(rowCount).toBe(1);
  }
});
