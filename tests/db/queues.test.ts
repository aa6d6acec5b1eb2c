// Queues, lanes and targets, by the SQL functions.

import { randomUUID } from 'node:crypto';
import { v7 } from 'uuid';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { AttemptKey } from '../../db/agents.ts';
import { claim } from '../../db/claim.ts';
import { expectWaiting, openTransaction } from '../support/batches.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { listen } from '../support/listen.ts';
import { row, startSession, type Session } from '../support/session.ts';

const database = useDatabase();

beforeEach(() => emptyLedger(database()));

const query = async (text: string, values: unknown[] = []) =>
  (await database().pool.query<Record<string, unknown>>(text, values)).rows;

async function submit(type: string, options: object = {}): Promise<string> {
  const payload = type === 'DELAY' ? { ms: 1 } : { url: 'http://127.0.0.1/' };
  const rows = await query('select executor.submit_command($1, $2, $3) as id', [
    type,
    payload,
    options,
  ]);
  return String(rows[0]?.['id']);
}

async function claimed(
  { agentId, session, claims }: Session,
  wanted: { queues?: string[]; types?: string[]; limit?: number },
): Promise<string[]> {
  const { queues = ['default'], types = ['DELAY', 'HTTP_GET_JSON'], limit = 10 } = wanted;
  const commands = await claim(claims.pool, {
    agentId,
    session,
    claimNo: 1,
    queues,
    types,
    limit,
  });
  return commands.map(({ id }) => id);
}

test('an agent claims only the types that it can carry out', async () => {
  await using agent = await startSession(database());
  const delay = await submit('DELAY');
  const http = await submit('HTTP_GET_JSON');
  expect(await claimed(agent, { types: ['HTTP_GET_JSON'] })).toEqual([http]);
  expect(await claimed(agent, { types: ['HTTP_GET_JSON'] })).toEqual([]);
  expect(await claimed(agent, {})).toEqual([delay]);
});

test('priority holds across the types of a queue', async () => {
  await using agent = await startSession(database());
  const low = await submit('DELAY', { priority: -1 });
  const middle = await submit('HTTP_GET_JSON');
  const high = await submit('DELAY', { priority: 1 });
  const later = await submit('HTTP_GET_JSON');
  for (const next of [high, middle, later, low])
    expect(await claimed(agent, { limit: 1 })).toEqual([next]);
});

test('an agent claims only from its queues', async () => {
  await query(`select executor.create_queue('a'), executor.create_queue('b')`);
  await using agent = await startSession(database());
  const here = await submit('DELAY');
  const a = await submit('DELAY', { queue: 'a' });
  const b = await submit('DELAY', { queue: 'b', priority: 5 });
  expect(new Set(await claimed(agent, { queues: ['a', 'b'] }))).toEqual(new Set([a, b]));
  expect(await claimed(agent, { queues: ['a', 'b'] })).toEqual([]);
  expect(await claimed(agent, {})).toEqual([here]);
});

test('the first queue gets twice the share of the second, and the last does not starve', async () => {
  await query(`select executor.create_queue('a'), executor.create_queue('b')`);
  await using agent = await startSession(database());
  for (const queue of ['a', 'b', 'default'])
    await query(
      `select executor.submit((select jsonb_agg(jsonb_build_object(
         'id', gen_random_uuid(), 'type', 'DELAY', 'payload', '{"ms": 1}'::jsonb, 'queue', $1::text))
       from generate_series(1, 140)))`,
      [queue],
    );
  const queues = ['a', 'b', 'default'];
  const shares = async () =>
    (
      await query(
        `select queue, count(*)::int from executor.commands where status = 'RUNNING'
         group by queue order by queue`,
      )
    ).map(({ count }) => count);
  await claimed(agent, { queues, limit: 70 });
  // A queue's luck is worth one command at most.
  const [a, b, last] = (await shares()) as number[];
  expect(Math.abs(a! - 40)).toBeLessThanOrEqual(1);
  expect(Math.abs(b! - 20)).toBeLessThanOrEqual(1);
  expect(Math.abs(last! - 10)).toBeLessThanOrEqual(1);
  // One by one, luck is all there is: 100 claims without one of the last queue are once in 10^6 runs.
  for (let i = 0; i < 100; i += 1) await claimed(agent, { queues, limit: 1 });
  expect(((await shares()) as number[])[2]).toBeGreaterThan(last!);
});

test('what is meant for one agent is claimed by no other', async () => {
  await using agent = await startSession(database(), 'me');
  await using other = await startSession(database(), 'other');
  const mine = await submit('DELAY', { target: { agentId: 'me' } });
  expect(await claimed(other, {})).toEqual([]);
  expect(await other.beat()).toMatchObject({ ready: false });
  expect(await agent.beat()).toMatchObject({ ready: true });
  expect(await claimed(agent, {})).toEqual([mine]);
});

test('nothing of a paused queue is claimed until it is resumed', async () => {
  await using agent = await startSession(database());
  const id = await submit('DELAY');
  await query(`select executor.pause_queue('default')`);
  expect(await claimed(agent, {})).toEqual([]);
  expect(await agent.beat()).toMatchObject({ ready: false });
  await query(`select executor.resume_queue('default')`);
  expect(await agent.beat()).toMatchObject({ ready: true });
  expect(await claimed(agent, {})).toEqual([id]);
});

test('a ready command that no living agent can run is seen', async () => {
  await submit('DELAY');
  await submit('DELAY', { target: { agentId: 'nobody' } });
  const look = async () =>
    (await query(`select * from executor.queue_states where name = 'default'`))[0];
  expect(await look()).toMatchObject({ depth: '2', unclaimable: '2', running: '0' });
  await using _agent = await startSession(database());
  await query(`update executor.agents set types = '{DELAY}'`);
  expect(await look()).toMatchObject({ depth: '2', unclaimable: '1' });
});

interface Claimed {
  answer: string;
  session: string;
  commands: { id: string; attempt: number }[];
}

const claimMany = async (...requests: object[]) =>
  (await query('select answer, session, commands from executor.claim_many($1)', [
    JSON.stringify(
      requests.map((request) => ({ queues: ['default'], types: ['DELAY'], limit: 1, ...request })),
    ),
  ])) as unknown as Claimed[];

const finish = async (report: object) =>
  (
    await query('select answer from executor.finish_for_clients($1)', [
      JSON.stringify([{ outcome: 'completed', result: { ok: true }, ...report }]),
    ])
  )[0]?.['answer'];

const poll = async () => (await claimMany({ agentId: 'c' }))[0]?.commands;

describe('agents without a session', () => {
  test('one that polls again gets what it owns again, first', async () => {
    const [first, second] = [await submit('DELAY'), await submit('DELAY')];
    expect(await poll()).toEqual([{ id: first, attempt: 1 }]);
    expect(await poll()).toEqual([{ id: first, attempt: 2 }]);
    expect(await finish({ id: first, agentId: 'other' })).toBe('stale');
    expect(await finish({ id: first, agentId: 'c', attempt: 1 })).toBe('stale');
    expect(await finish({ id: first, agentId: 'c' })).toBe('accepted');
    expect(await finish({ id: first, agentId: 'c' })).toBe('stale');
    expect(await finish({ id: first, agentId: 'c', attempt: 2 })).toBe('accepted');
    expect(await finish({ id: first, agentId: 'c', attempt: 2, result: 7 })).toBe('stale');
    expect(await finish({ id: first, agentId: 'other', attempt: 2 })).toBe('stale');
    expect(await finish({ id: v7(), agentId: 'c' })).toBe('unknown');
    expect(await poll()).toEqual([{ id: second, attempt: 1 }]);
  });

  test('each of many gets its own, in one statement', async () => {
    const ids = [await submit('DELAY'), await submit('DELAY', { target: { agentId: 'c3' } })];
    const answers = await claimMany(...['c1', 'c2', 'c3'].map((agentId) => ({ agentId })));
    expect(answers.map(({ commands }) => commands.map(({ id }) => id))).toEqual([
      [ids[0]],
      [],
      [ids[1]],
    ]);
    await using agent = await startSession(database(), 'with-session');
    const [refused, superseded, unknown, fine] = await claimMany(
      { agentId: 'with-session' },
      { agentId: 'with-session', session: randomUUID() },
      { agentId: 'nobody', session: randomUUID() },
      { agentId: 'with-session', session: agent.session },
    );
    expect(refused?.answer).toBe('has_session');
    expect(superseded?.answer).toBe('superseded');
    expect(unknown?.answer).toBe('unknown_agent');
    expect(fine).toEqual({ answer: 'claimed', session: agent.session, commands: [] });
  });

  test('silence alone takes nothing from it; its deadline does', async () => {
    const id = await submit('DELAY');
    await claimMany({ agentId: 'c' });
    const silent = () => query(`update executor.agents set beat_clock = beat_clock - 3600000`);
    await query('call executor.tick(null)');
    await query(`update executor.clock set watching_since = '-infinity'`);
    await silent();
    await query('select executor.recover()');
    expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
    await query(`update executor.commands set deadline_at = now() - interval '11 seconds'`);
    await query('select executor.recover()');
    expect(await row(database(), id)).toMatchObject({ status: 'SCHEDULED', failures: 1 });
    await query('select executor.recover()');
    const [agent] = await query('select state from executor.agent_states');
    expect(agent).toEqual({ state: 'gone' });
  });

  test('a completion of a lost attempt is taken while its command waits', async () => {
    const id = await submit('DELAY');
    await claimMany({ agentId: 'c' });
    await query(`update executor.agents set lost_at = now()`);
    await query('select executor.recover()');
    expect(await row(database(), id)).toMatchObject({ status: 'PENDING', losses: 1 });
    expect(await finish({ id, agentId: 'c' })).toBe('stale');
    expect(await finish({ id, agentId: 'c', attempt: 1 })).toBe('accepted');
    expect(await row(database(), id)).toMatchObject({ status: 'COMPLETED' });
  });
});

const finishReports = async (agent: Session, commands: AttemptKey[]) =>
  await query('select executor.finish($1)', [
    JSON.stringify(
      commands.map(({ id, attempt }) => ({
        id,
        attempt,
        session: agent.session,
        outcome: 'failed',
        error: { code: 'no', message: 'no', retryable: true },
      })),
    ),
  ]);

async function isKeptAlive({ agentId, session }: Session): Promise<boolean> {
  await query('update executor.agents set beat_clock = beat_clock - 3600000');
  await query('select executor.keep_alive($1)', [JSON.stringify({ [agentId]: session })]);
  const [row] = await query(
    'select executor.observed_ms() - beat_clock < 60000 as yes from executor.agents',
  );
  return row?.['yes'] === true;
}

describe('an open poll is a sign of life', () => {
  test('but not of one that beats by itself, while it runs something', async () => {
    await using agent = await startSession(database());
    await submit('DELAY');
    expect(await isKeptAlive(agent)).toBe(true);
    const [claim] = await agent.claim();
    expect(await isKeptAlive(agent)).toBe(true);
    await agent.beat([claim!], 1);
    expect(await isKeptAlive(agent)).toBe(false);
    await agent.complete([claim!]);
    expect(await isKeptAlive(agent)).toBe(true);
  });

  test('nor of an older session, or of one that has signed off', async () => {
    await using agent = await startSession(database());
    expect(await isKeptAlive({ ...agent, session: randomUUID() })).toBe(false);
    await query('select executor.sign_off($1, $2)', [agent.agentId, agent.session]);
    expect(await isKeptAlive(agent)).toBe(false);
    expect(await agent.beat()).toMatchObject({ unknown: true, superseded: false });
  });

  test('and an older session, one that has signed off, or one that is unknown is to look', async () => {
    await using left = await startSession(database());
    await using superseded = await startSession(database());
    await using fine = await startSession(database());
    await query('select executor.sign_off($1, $2)', [left.agentId, left.session]);
    const said = {
      [left.agentId]: left.session,
      [superseded.agentId]: randomUUID(),
      [fine.agentId]: fine.session,
      nobody: randomUUID(),
    };
    const rows = await query('select executor.keep_alive($1) as id', [JSON.stringify(said)]);
    expect(new Set(rows.map(({ id }) => id))).toEqual(
      new Set([left.agentId, superseded.agentId, 'nobody']),
    );
  });
});

async function failOnce(agent: Session): Promise<string> {
  const id = await submit('DELAY', { backoff: { initialMs: 0 } });
  const commands = await agent.claim();
  await finishReports(agent, commands);
  await query(`update executor.commands set run_at = now() where status = 'SCHEDULED'`);
  await query('select executor.promote()');
  return id;
}

describe('a retry', () => {
  test('goes home first, and after a second to anybody', async () => {
    await using home = await startSession(database(), 'home');
    await using other = await startSession(database(), 'other');
    await using work = await listen(database().url, 'executor_work');
    const id = await failOnce(home);
    await vi.waitFor(() => expect(work.payloads).toContain('default DELAY home'));
    expect(await other.claim()).toEqual([]);
    expect(await other.beat()).toMatchObject({ ready: false });
    expect(await home.beat()).toMatchObject({ ready: true });
    await query(`update executor.commands set home_until = now() - interval '1 ms'`);
    await query('call executor.tick(null)');
    expect(await other.claim()).toMatchObject([{ id, attempt: 2 }]);
  });

  test('that its agent takes comes back to everybody when it is lost', async () => {
    await using home = await startSession(database(), 'home');
    await using other = await startSession(database(), 'other');
    const id = await failOnce(home);
    expect(await home.claim()).toMatchObject([{ id, attempt: 2 }]);
    await query(`update executor.agents set lost_at = now() where id = 'home'`);
    await query('select executor.recover()');
    expect(await other.claim()).toMatchObject([{ id, attempt: 3 }]);
    expect(await other.complete([{ id, attempt: 3 }])).toEqual(['accepted']);
  });

  test.each([
    ['is lost', `lost_at = now()`],
    ['is asked to drain', `drain_requested_at = now()`],
    ['has no slot free', `concurrency = 1`],
  ])('goes to anybody when its agent %s', async (_why, change) => {
    await using home = await startSession(database(), 'home');
    await using other = await startSession(database(), 'other');
    await submit('HTTP_GET_JSON');
    await home.claim();
    await query(`update executor.agents set ${change} where id = 'home'`);
    if (change.startsWith('drain'))
      await query(`update executor.agents set drain_requested_at = null`);
    const id = await submit('DELAY', { backoff: { initialMs: 0 } });
    const commands = await home.claim();
    await finishReports(home, commands);
    await query(`update executor.agents set ${change} where id = 'home'`);
    await query(`update executor.commands set run_at = now() where status = 'SCHEDULED'`);
    await query('select executor.promote()');
    expect(await other.claim()).toMatchObject([{ id }]);
  });
});

test('a retry whose lane home is just being made does not deadlock with a repeated submission', async () => {
  await using home = await startSession(database());
  const id = await submit('DELAY', { backoff: { initialMs: 0 } });
  await finishReports(home, await home.claim());
  await query(`update executor.commands set run_at = now() where status = 'SCHEDULED'`);
  const { pool } = database();
  await using psql = await openTransaction(pool);
  const submitAlso = (again: object) =>
    psql.client.query('select executor.submit($1)', [
      JSON.stringify([{ type: 'DELAY', payload: { ms: 0 }, ...again }]),
    ]);
  await submitAlso({ id: v7(), target: { agentId: home.agentId } });
  const promoted = query('select executor.promote() as promoted');
  await expectWaiting(pool);
  // Whatever is inserted again waits for who is changing it.
  await submitAlso({ id });
  await psql.commit();
  expect(await promoted).toEqual([{ promoted: 1 }]);
  expect(await home.claim()).toMatchObject([{ id }, {}]);
});

test('an agent that is asked to drain claims nothing until it is resumed', async () => {
  await using agent = await startSession(database(), 'me');
  const id = await submit('DELAY');
  await query(`select executor.drain_agent('me')`);
  expect(await agent.claim()).toEqual([]);
  expect(await agent.beat()).toMatchObject({ ready: false, drain: true });
  expect(await query(`select state from executor.agent_states`)).toEqual([{ state: 'draining' }]);
  await using work = await listen(database().url, 'executor_work');
  await query(`select executor.resume_agent('me')`);
  await vi.waitFor(() => expect(work.payloads.join('\n')).toMatch(/ me$/));
  expect(await agent.beat()).toMatchObject({ ready: true, drain: false });
  expect(await agent.claim()).toMatchObject([{ id }]);
});

test('a lane is dropped a day after its agent went, once nothing is meant for it', async () => {
  const id = await submit('DELAY', { target: { agentId: 'gone' } });
  await using alive = await startSession(database(), 'alive');
  await submit('DELAY', { target: { agentId: 'alive' } });
  const lanes = async () =>
    (await query(`select agent_id from executor.lanes where agent_id <> ''`)).map(
      (lane) => lane['agent_id'],
    );
  const drop = () => query('select executor.drop_lanes()');
  await drop();
  expect(await lanes()).toEqual(expect.arrayContaining(['alive', 'gone']));
  await query(`select executor.cancel_command($1)`, [id]);
  await drop();
  expect(await lanes()).toContain('alive');
  expect(await lanes()).not.toContain('gone');
  expect(await alive.claim()).toHaveLength(1);
  const again = await submit('DELAY', { target: { agentId: 'gone' } });
  await query(`select executor.cancel_command($1)`, [again]);
});
