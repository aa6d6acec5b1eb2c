import { beforeEach, expect, test, vi } from 'vitest';
import { holdSession } from '../../db/agents.ts';
import { connect } from '../../db/connect.ts';
import { tick } from '../../db/recovery.ts';
import { useDatabase } from '../support/database.ts';
import { row, startSession, submit, type Session } from '../support/session.ts';

const database = useDatabase();

beforeEach(() => execute('truncate executor.commands, executor_queue.job cascade'));

async function execute(statement: string, values: unknown[] = []) {
  return await database().pool.query(statement, values);
}

/** Somebody has watched for a minute, and no agent has been heard of for `seconds` of it. */
async function silence(session: Session, seconds: number): Promise<void> {
  await tick(database().pool);
  await execute(`update executor.clock set watching_since = now() - interval '1 minute'`);
  await execute(
    `update executor.agents set beat_clock = executor.observed_ms() - $2 where id = $1`,
    [session.agentId, seconds * 1000],
  );
  await tick(database().pool);
}

async function stateOf(session: Session): Promise<string> {
  const { rows } = await execute('select state from executor.agent_states where id = $1', [
    session.agentId,
  ]);
  return rows[0].state as string;
}

test('a silent agent is lost after 15 s, and its work is offered again', async () => {
  await using silent = await startSession(database());
  const [id] = await submit(database());
  await silent.claim();
  await silence(silent, 14);
  expect(await stateOf(silent)).toBe('busy');
  await silence(silent, 16);
  expect(await stateOf(silent)).toBe('lost');
  expect(await row(database(), id)).toMatchObject({ status: 'PENDING', attempt: 1, losses: 1 });
  await using other = await startSession(database());
  await other.complete(await other.claim());
  expect(await row(database(), id)).toMatchObject({ status: 'COMPLETED', attempt: 2 });
});

test('an agent that beats again is no longer lost, and what it lost is revoked', async () => {
  await using silent = await startSession(database());
  const [id] = await submit(database());
  const claimed = await silent.claim();
  await silence(silent, 16);
  expect(await silent.beat(claimed, 1)).toMatchObject({ superseded: false, revoked: [id] });
  expect(await stateOf(silent)).toBe('idle');
  await silent.complete(await silent.claim());
});

test('time that nobody watched does not count as silence', async () => {
  await using agent = await startSession(database());
  await submit(database());
  const claimed = await agent.claim();
  await tick(database().pool);
  await execute(`update executor.clock set ticked_at = ticked_at - interval '60 seconds'`);
  await tick(database().pool);
  await tick(database().pool);
  expect(await stateOf(agent)).toBe('busy');
  expect(await agent.complete(claimed)).toEqual(['accepted']);
});

test('an agent that is between two tries to reach a database that was away is not lost', async () => {
  await using agent = await startSession(database());
  const [id] = await submit(database());
  const claimed = await agent.claim();
  const pass = async (ms: number) => {
    await execute(
      `update executor.clock set ticked_at = ticked_at - $1 * interval '1 ms',
         watching_since = watching_since - $1 * interval '1 ms'`,
      [ms],
    );
    await tick(database().pool);
  };
  await tick(database().pool);
  await agent.beat(claimed, 1);
  for (let i = 0; i < 5; i += 1) await pass(1_000);
  await pass(60_000);
  for (let i = 0; i < 4; i += 1) await pass(1_000);
  expect(await row(database(), id)).toMatchObject({ status: 'RUNNING' });
  await agent.complete(claimed);
});

test('an attempt far past its deadline is a failed attempt, but not right after an outage', async () => {
  await using agent = await startSession(database());
  const [id] = await submit(database());
  await agent.claim();
  await execute(
    `update executor.commands set deadline_at = now() - interval '11 s' where id = $1`,
    [id],
  );
  await execute(
    `update executor.clock set watching_since = now() - interval '5 s', ticked_at = now()`,
  );
  await tick(database().pool);
  expect(await row(database(), id)).toMatchObject({ status: 'RUNNING' });
  await execute(`update executor.clock set watching_since = now() - interval '1 minute'`);
  await tick(database().pool);
  expect(await row(database(), id)).toMatchObject({ status: 'SCHEDULED', failures: 1, losses: 0 });
});

test('a process that dies drops its session lock, and is lost within two ticks of a second', async () => {
  await using agent = await startSession(database());
  const lifeline = connect(database().url, { applicationName: 'test', max: 1 });
  expect(await holdSession(lifeline.pool, agent)).toBe(true);
  const [id] = await submit(database());
  await agent.claim();
  await tick(database().pool);
  await execute(`update executor.clock set watching_since = now() - interval '1 minute'`);
  await tick(database().pool);
  expect(await stateOf(agent)).toBe('busy');

  await lifeline.close();
  // The backend ends a moment after its connection.
  await vi.waitFor(async () => {
    await tick(database().pool);
    const { rows } = await execute('select from executor.agents where unlocked_at is not null');
    expect(rows).toHaveLength(1);
  });
  expect(await stateOf(agent)).toBe('busy');
  await execute(`update executor.agents set unlocked_at = unlocked_at - interval '1.1 s'`);
  await tick(database().pool);
  expect(await stateOf(agent)).toBe('lost');
  expect(await row(database(), id)).toMatchObject({ status: 'PENDING', losses: 1 });
  await using other = await startSession(database());
  await other.complete(await other.claim());
});

test('an agent that takes its lock again in time is not lost', async () => {
  await using agent = await startSession(database());
  const first = connect(database().url, { applicationName: 'test', max: 1 });
  const second = connect(database().url, { applicationName: 'test', max: 1 });
  await holdSession(first.pool, agent);
  await execute(`update executor.clock set watching_since = now() - interval '1 minute'`);
  expect(await holdSession(second.pool, agent)).toBe(false);
  await first.close();
  await tick(database().pool);
  await vi.waitFor(async () => expect(await holdSession(second.pool, agent)).toBe(true));
  await tick(database().pool);
  const { rows } = await execute('select unlocked_at from executor.agents where id = $1', [
    agent.agentId,
  ]);
  expect(rows).toEqual([{ unlocked_at: null }]);
  await second.close();
});

test('when Postgres was restarted, agents get time to take their locks again', async () => {
  await using agent = await startSession(database());
  const lifeline = connect(database().url, { applicationName: 'test', max: 1 });
  await holdSession(lifeline.pool, agent);
  await execute(`update executor.clock set watching_since = now() - interval '1 minute'`);
  await lifeline.close();
  await tick(database().pool);
  // A crash empties the unlogged table; the locks of all are gone.
  await execute('truncate executor.incarnation');
  await tick(database().pool);
  await execute(`update executor.agents set unlocked_at = now() - interval '2 s'`);
  await tick(database().pool);
  expect(await stateOf(agent)).toBe('idle');
});

test('a command that loses agent after agent is FAILED as poison', async () => {
  const [id] = await submit(database());
  for (const losses of [1, 2, 3, 4]) {
    await using victim = await startSession(database());
    expect(await victim.claim()).toHaveLength(1);
    await silence(victim, 16);
    expect(await row(database(), id)).toMatchObject({ losses });
  }
  expect(await row(database(), id)).toMatchObject({ status: 'FAILED', error: { code: 'poison' } });
});

test('under at_most_once a lost attempt is FAILED as interrupted', async () => {
  await using agent = await startSession(database());
  const { rows } = await execute(
    `select executor.submit_command('DELAY', '{"ms": 0}', '{"delivery": "at_most_once"}') as id`,
  );
  await agent.claim();
  await silence(agent, 16);
  expect(await row(database(), rows[0].id as string)).toMatchObject({
    status: 'FAILED',
    attempt: 1,
    error: { code: 'interrupted' },
  });
});

test('under at_most_once what was never started goes back', async () => {
  await using agent = await startSession(database());
  const { rows } = await execute(
    `select executor.submit_command('DELAY', '{"ms": 0}', '{"delivery": "at_most_once"}') as id`,
  );
  await agent.claim(1, 1);
  await agent.beat([], 1);
  expect(await row(database(), rows[0].id as string)).toMatchObject({ status: 'PENDING' });
  await agent.complete(await agent.claim(1, 2));
});

test('a late completion is accepted while the command still waits', async () => {
  await using slow = await startSession(database());
  const [id] = await submit(database());
  const claimed = await slow.claim();
  await silence(slow, 16);
  expect(await slow.complete(claimed, { late: true })).toEqual(['accepted']);
  expect(await row(database(), id)).toMatchObject({
    status: 'COMPLETED',
    result: { late: true },
    attempt: 1,
    agent_id: slow.agentId,
  });
  expect(await slow.complete(claimed, { late: true })).toEqual(['accepted']);
});

test('a late failure is stale, and so is a late completion once a newer attempt has started', async () => {
  await using slow = await startSession(database());
  const [id] = await submit(database());
  const claimed = await slow.claim();
  await silence(slow, 16);
  expect(await slow.fail(claimed)).toEqual(['stale']);
  await using other = await startSession(database());
  const again = await other.claim();
  expect(await slow.complete(claimed, { zombie: true })).toEqual(['stale']);
  expect(await slow.release(claimed)).toEqual(['stale']);
  await other.complete(again, { fresh: true });
  expect(await slow.complete(claimed, { zombie: true })).toEqual(['stale']);
  expect(await row(database(), id)).toMatchObject({ result: { fresh: true }, attempt: 2 });
});

test('a late completion loses against a claim in flight', async () => {
  await using slow = await startSession(database());
  const [id] = await submit(database());
  const claimed = await slow.claim();
  await silence(slow, 16);
  const claim = await database().pool.connect();
  await claim.query('begin');
  await claim.query('select from executor_queue.job where id = $1 for update', [id]);
  const late = slow.complete(claimed);
  await claim.query(
    `update executor.commands set status = 'RUNNING', attempt = attempt + 1, agent_id = 'x',
       session = gen_random_uuid(), claim_no = 1, started_at = now(), deadline_at = now()
     where id = $1`,
    [id],
  );
  await claim.query('delete from executor_queue.job where id = $1', [id]);
  await claim.query('commit');
  claim.release();
  expect(await late).toEqual(['stale']);
  expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 2 });
  await execute('delete from executor.commands where id = $1', [id]);
});

test('a claim by a superseded process is taken back without counting as a loss', async () => {
  await using old = await startSession(database(), 'twin');
  await using young = await startSession(database(), 'twin');
  const [id] = await submit(database());
  await old.claim();
  await tick(database().pool);
  expect(await row(database(), id)).toMatchObject({ status: 'PENDING', losses: 0 });
  await young.complete(await young.claim());
});

test('a ticket that a hand has deleted, or a stray one, is mended', async () => {
  const [running, stray] = await submit(database(), 2);
  await using session = await startSession(database());
  const claimed = await session.claim(2);
  await session.complete(claimed.filter(({ id }) => id === stray));
  const [lost] = await submit(database());
  await execute('delete from executor_queue.job where id = $1', [lost]);
  await execute(
    `insert into executor_queue.job (id, name, start_after)
     select unnest($1::uuid[]), 'lane_1', '-infinity'`,
    [[running, stray]],
  );
  await execute(
    `update executor.clock
     set repaired_to = '00000000-0000-0000-0000-000000000000', ticked_at = '-infinity'`,
  );
  await tick(database().pool);
  const { rows } = await execute('select id, state::text from executor_queue.job');
  expect(rows).toEqual([{ id: lost, state: 'created' }]);
  await session.complete(claimed.filter(({ id }) => id === running));
  await session.complete(await session.claim());
});

test('a step that fails does not stop the others', async () => {
  await using session = await startSession(database());
  const { rows } = await execute(
    `select executor.submit_command('DELAY', '{"ms": 0}', '{"delayMs": 60000}') as id`,
  );
  await execute('update executor.commands set run_at = created_at where id = $1', [rows[0].id]);
  await execute('alter function executor.recover(integer) rename to recover_away');
  await execute('alter function executor.observe() rename to observe_away');
  await tick(database().pool);
  expect(await session.claim()).toHaveLength(1);
  await execute('alter function executor.recover_away(integer) rename to recover');
  await execute('alter function executor.observe_away() rename to observe');
  await tick(database().pool);
  await session.release([{ id: rows[0].id as string, attempt: 1 }]);
  await session.complete(await session.claim());
});

test('only one ticks at a time: whoever comes second returns at once', async () => {
  const holder = await database().pool.connect();
  await holder.query('begin');
  await holder.query('select pg_advisory_xact_lock(7018969161888561254)');
  await execute(`update executor.clock set ticked_at = 'epoch'`);
  expect(await tick(database().pool)).toMatchObject({ nextDueAt: null });
  const { rows } = await execute(`select ticked_at = 'epoch' as untouched from executor.clock`);
  expect(rows).toEqual([{ untouched: true }]);
  await holder.query('commit');
  holder.release();
});

test('of a gap that is too short to start watching anew, half the bound counts at most', async () => {
  await execute(`update executor.settings set beat_interval = '2 s', lost_after = '4 s'`);
  try {
    await tick(database().pool);
    await execute(`update executor.clock set watching_since = now() - interval '1 minute'`);
    await using agent = await startSession(database());
    await execute(`update executor.clock set ticked_at = ticked_at - interval '5 s'`);
    await execute(
      'update executor.agents set beat_clock = (select observed_ms from executor.clock)',
    );
    await tick(database().pool);
    expect(await stateOf(agent)).toBe('idle');
  } finally {
    await execute(`update executor.settings set beat_interval = '5 s', lost_after = '15 s'`);
  }
});
