// What looks first and acts later must look again: each test changes a row in the gap between the two.
//
// The barrier is a line put into the function's own text: a wait for an advisory lock that the test
// holds. Should the text no longer have the place for it, or the function not come there, the test fails.

import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { holdSession, registerAgent } from '../../db/agents.ts';
import { connect } from '../../db/connect.ts';
import { readDefinitions } from '../../db/definitions.ts';
import type { ClaimedCommand } from '../../db/claim.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { row, startSession, submit, SUBSCRIPTION, type Session } from '../support/session.ts';

const database = useDatabase();

beforeEach(async () => {
  await emptyLedger(database());
  await execute(
    `update executor.clock set ticked_at = now(), watching_since = now() - interval '1 minute',
       repaired_to = '00000000-0000-0000-0000-000000000000'`,
  );
});

const BARRIER = 4711;
const STATEMENT = `perform pg_advisory_xact_lock(${BARRIER});\n`;
/** Within a statement: its snapshot is taken, and it has yet to lock its rows. */
const CONDITION = `pg_advisory_xact_lock(${BARRIER}) is not null and `;

/** The function, what to put into it, and in front of what, which must be in its text once. */
type Gap = [name: string, barrier: string, before: string];

const RECOVER: Gap = ['recover', STATEMENT, 'perform\n    from executor.commands c'];
const PROMOTE: Gap = ['promote', CONDITION, `c.status = 'SCHEDULED' and`];
const REPAIR: Gap = ['repair', STATEMENT, 'v_repaired := v_repaired +'];
const REPAIR_ONE: Gap = ['repair_one', STATEMENT, 'select * into v_command'];
const REPAIR_ONE_LOCKED: Gap = ['repair_one', STATEMENT, 'select state::text into'];
const FIND_LOST: Gap = ['find_lost_agents', CONDITION, 'agent.lost_at is null'];
const FIND_UNLOCKED: Gap = ['find_lost_agents', CONDITION, 'session_lock\n        and lost_at'];
const LOCKS_READ: Gap = ['find_lost_agents', STATEMENT, 'update executor.agents a\n    set\n'];
const BEAT: Gap = ['beat', STATEMENT, 'if v_unstarted is not null'];
const FINISH: Gap = ['complete_attempts', STATEMENT, 'with completion as'];
const FINISH_ONE_LOCKED: Gap = ['finish_one', STATEMENT, 'select * into v_closed'];
const CANCEL: Gap = ['cancel_commands', STATEMENT, 'for v_id in select distinct'];
const CANCEL_LOCKED: Gap = ['cancel_commands', STATEMENT, 'perform\n    from executor_queue.job'];
const UNBLOCK: Gap = ['unblock', STATEMENT, 'select c.id into v_id'];
const UNBLOCK_CHOSEN: Gap = ['unblock', STATEMENT, 'perform\n    from executor.commands c'];

/** Runs `sweep`, which comes to the gap and waits there for as long as `change` takes. */
async function inGap<T>(
  [name, barrier, before]: Gap,
  sweep: () => Promise<T>,
  change: (gate: pg.PoolClient) => Promise<unknown>,
): Promise<T> {
  const text = readDefinitions().find((file) => file.name === `functions/${name}.sql`)?.text ?? '';
  const parts = text.split(before);
  if (parts.length !== 2) throw new Error(`${name}.sql has '${before}' ${parts.length - 1} times`);
  const gate = await database().pool.connect();
  await gate.query(parts.join(barrier + before));
  await gate.query('select pg_advisory_lock($1)', [BARRIER]);
  const sweeping = sweep();
  try {
    await Promise.race([
      lockAwaited(`locktype = 'advisory' and objid = ${BARRIER}`),
      sweeping.then(() => expect.fail(`never came to the gap in ${name}()`)),
    ]);
    await change(gate);
    await gate.query('select pg_advisory_unlock($1)', [BARRIER]);
    return await sweeping;
  } finally {
    await gate.query('select pg_advisory_unlock_all()');
    await sweeping.catch(() => undefined);
    await gate.query(text);
    gate.release();
  }
}

/** Runs `sweep`, and that it leaves everything as `change` has left it in the gap. */
async function expectUntouched<T>(
  gap: Gap,
  sweep: () => Promise<T>,
  change: (gate: pg.PoolClient) => Promise<unknown>,
): Promise<T> {
  let left: unknown;
  const answer = await inGap(gap, sweep, async (gate) => {
    await change(gate);
    left = await everything();
  });
  expect(await everything()).toEqual(left);
  return answer;
}

async function everything(): Promise<unknown> {
  return await execute(
    `select 'command' as what, to_jsonb(c) as line from executor.commands c
     union all select 'attempt', to_jsonb(a) from executor.attempts a
     union all select 'ticket', to_jsonb(t) from executor_queue.job t
     union all select 'agent', to_jsonb(a) - '{beat_at,beat_clock,has_beaten,running}'::text[]
       from executor.agents a
     order by 1, 2`,
  );
}

async function lockAwaited(which: string, isOver = () => false): Promise<void> {
  // Other tests run on the same server.
  const look = `select from pg_locks join pg_stat_activity using (pid)
    where not granted and ${which} and datname = current_database()`;
  await vi.waitFor(async () => expect(isOver() || (await execute(look)).length > 0).toBe(true), {
    timeout: 10_000,
    interval: 5,
  });
}

async function execute(statement: string, values: unknown[] = []) {
  return (await database().pool.query<Record<string, unknown>>(statement, values)).rows;
}

/** Calls a function; answers its one value. */
async function call(text: string, values: unknown[] = []): Promise<unknown> {
  return (await execute(`select executor.${text} as value`, values))[0]?.value;
}

async function submitWith(options: object): Promise<string> {
  const id = await call(`submit_command('DELAY', '{"ms": 0}', $1)`, [JSON.stringify(options)]);
  return id as string;
}

/** Its time has come, and nobody has promoted it. */
async function submitDue(): Promise<string> {
  const id = await submitWith({ delayMs: 60_000 });
  await execute('update executor.commands set run_at = created_at where id = $1', [id]);
  return id;
}

/** An agent that runs a command. */
async function startRunning(options: object = {}) {
  const owner = await startSession(database());
  const id = await submitWith(options);
  const claims = await owner.claim(1);
  return { owner, id, claims, [Symbol.asyncDispose]: () => owner[Symbol.asyncDispose]() };
}

/** As an earlier tick found it: the one of the test holds no lock on it then. */
async function lose({ agentId }: Session): Promise<void> {
  await execute('update executor.agents set lost_at = now() where id = $1', [agentId]);
}

/** A newer process of the same agent, which takes back what this one runs. */
async function startAnew({ agentId }: Session): Promise<void> {
  const info = { concurrency: 1, host: 'test', pid: 2, version: '0', ...SUBSCRIPTION };
  await registerAgent(database().pool, { agentId, session: randomUUID() }, info);
}

async function signOff({ agentId, session }: Session): Promise<void> {
  await call('sign_off($1, $2)', [agentId, session]);
}

async function find(): Promise<void> {
  await call('find_lost_agents()');
}

/** A connection that may hold a session's lock. */
function connectLifeline() {
  const lifeline = connect(database().url, { applicationName: 'test', max: 1 });
  return { pool: lifeline.pool, [Symbol.asyncDispose]: () => lifeline.close() };
}

async function statusOf(id: string): Promise<string> {
  return (await row(database(), id)).status;
}

/** By hand. Without its ticket, nothing holds others back from a command. */
async function tearTicket(id: string | undefined): Promise<void> {
  await execute('delete from executor_queue.job where id = $1', [id]);
}

/** Mends a torn ticket and claims, as far as that goes: to the command, which is locked. */
async function claimUpToTheCommand(session: Session, id: string | undefined) {
  await call('write_tickets($1)', [[id]]);
  let isOver = false;
  const claim = session.claim().finally(() => (isOver = true));
  claim.catch(() => undefined);
  await lockAwaited(`locktype = 'transactionid'`, () => isOver);
  return { claim };
}

describe('recover leaves an attempt alone that, while it looked,', () => {
  type Scene = Awaited<ReturnType<typeof startRunning>> & { other: Session };
  const givenBackTo = async ({ owner, claims }: Scene, next: Session) => {
    await owner.release(claims);
    await next.claim(1, 2);
  };
  const forge = `insert into executor_queue.job (id, name, start_after)
    select id, lane, now() from executor.commands where id = $1`;

  test.each<[string, object, (scene: Scene) => Promise<unknown>]>([
    ['completed', { status: 'COMPLETED' }, ({ owner, claims }) => owner.complete(claims)],
    ['failed', { status: 'FAILED' }, ({ owner, claims }) => owner.fail(claims)],
    ['was given back', { status: 'PENDING' }, ({ owner, claims }) => owner.release(claims)],
    [
      'completed, though a hand then forged a ticket',
      { status: 'COMPLETED' },
      async ({ owner, claims, id }) => {
        await owner.complete(claims);
        await execute(forge, [id]);
      },
    ],
    [
      'was given back and claimed by another agent',
      { status: 'RUNNING', attempt: 2 },
      (scene) => givenBackTo(scene, scene.other),
    ],
    [
      'was given back and claimed by the same agent',
      { status: 'RUNNING', attempt: 2 },
      (scene) => givenBackTo(scene, scene.owner),
    ],
    [
      'was taken back by a newer process of its agent: one loss',
      { status: 'PENDING', losses: 1 },
      ({ owner }) => startAnew(owner),
    ],
  ])('%s', async (_, left, change) => {
    await using scene = await startRunning();
    await using other = await startSession(database());
    await lose(scene.owner);
    const sweep = () => call('recover()');
    expect(await expectUntouched(RECOVER, sweep, () => change({ ...scene, other }))).toBe(0);
    expect(await row(database(), scene.id)).toMatchObject(left);
    await call('repair()');
  });

  test('timed out and was tried again, though it was far past its deadline', async () => {
    await using scene = await startRunning({ backoff: { initialMs: 0 } });
    await execute(`update executor.commands set deadline_at = now() - interval '11 s'`);
    const error = { code: 'timed_out', message: '', retryable: true };
    const report = {
      ...scene.claims[0],
      session: scene.owner.session,
      outcome: 'timed_out',
      error,
    };
    const change = async () => {
      await call('finish($1)', [JSON.stringify([report])]);
      await call('promote()');
      await scene.owner.claim();
    };
    expect(await expectUntouched(RECOVER, () => call('recover()'), change)).toBe(0);
    expect(await row(database(), scene.id)).toMatchObject({ attempt: 2, failures: 1 });
  });
});

test('recover waits for no report that is on its way', async () => {
  await using scene = await startRunning();
  await lose(scene.owner);
  const report = await database().pool.connect();
  try {
    await report.query('begin');
    await report.query('select executor.lock_commands($1)', [[scene.id]]);
    const sweep = `select set_config('lock_timeout', '2s', true), executor.recover() as count`;
    expect(await execute(sweep)).toMatchObject([{ count: 0 }]);
  } finally {
    await report.query('rollback');
    report.release();
  }
  expect(await scene.owner.complete(scene.claims)).toEqual(['accepted']);
});

// The ledger is as if the beat had come a moment later; only the answer is a beat late.
test('an agent that beats while recover looks still loses its attempt, and hears so next', async () => {
  await using scene = await startRunning();
  const { owner, claims, id } = scene;
  await lose(owner);
  const change = async () => expect(await owner.beat(claims, 1)).toMatchObject({ revoked: [] });
  expect(await inGap(RECOVER, () => call('recover()'), change)).toBe(1);
  expect(await owner.beat(claims, 1)).toMatchObject({ revoked: [id] });
});

describe('promote leaves a command alone that, while it looked,', () => {
  const putOff = `update executor.commands set run_at = now() + interval '1 hour'`;

  test('was promoted by somebody else and claimed', async () => {
    await using agent = await startSession(database());
    const id = await submitDue();
    const change = async (gate: pg.PoolClient) => {
      await gate.query('select executor.promote()');
      await agent.claim();
    };
    expect(await expectUntouched(PROMOTE, () => call('promote()'), change)).toBe(0);
    expect(await row(database(), id)).toMatchObject({ status: 'RUNNING' });
  });

  test.each([
    ['put off by a hand', { status: 'SCHEDULED' }, () => execute(putOff)],
    ['cancelled', { status: 'CANCELLED' }, (id: string) => call('cancel_command($1)', [id])],
  ])('was %s', async (_, left, change) => {
    const id = await submitDue();
    expect(
      await expectUntouched(
        PROMOTE,
        () => call('promote()'),
        () => change(id),
      ),
    ).toBe(0);
    expect(await row(database(), id)).toMatchObject(left);
  });
});

describe('repair leaves a command alone that, while it looked,', () => {
  test.each(['RUNNING', 'COMPLETED'])('somebody else mended and is %s now', async (status) => {
    await using agent = await startSession(database());
    const [id] = await submit(database());
    await tearTicket(id);
    const change = async () => {
      expect(await call('repair_one($1)', [id])).toBe(true);
      const claims = await agent.claim();
      if (status === 'COMPLETED') await agent.complete(claims);
    };
    expect(await expectUntouched(REPAIR, () => call('repair()'), change)).toBe(0);
    expect(await row(database(), id)).toMatchObject({ status, attempt: 1 });
  });

  test('was promoted and claimed', async () => {
    await using agent = await startSession(database());
    const id = await submitDue();
    const change = async () => {
      await call('promote()');
      await agent.claim();
    };
    const sweep = () => call('repair_one($1)', [id]);
    expect(await expectUntouched(REPAIR_ONE, sweep, change)).toBe(false);
    expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
  });

  test('a claim has taken the ticket of', async () => {
    await using agent = await startSession(database());
    const [id] = await submit(database());
    await tearTicket(id);
    let claim: Promise<ClaimedCommand[]> | undefined;
    const change = async () => ({ claim } = await claimUpToTheCommand(agent, id));
    expect(await inGap(REPAIR_ONE_LOCKED, () => call('repair_one($1)', [id]), change)).toBe(false);
    expect(await claim).toMatchObject([{ id, attempt: 1 }]);
  });
});

describe('find_lost_agents leaves an agent alone that, while it looked,', () => {
  test.each<[string, object, (agent: Session) => Promise<unknown>]>([
    ['beat again', { state: 'idle' }, (agent) => agent.beat()],
    ['started anew', { state: 'idle' }, startAnew],
    ['signed off', { state: 'gone', lost_at: null }, signOff],
  ])('%s', async (_, left, change) => {
    await using agent = await startSession(database());
    await execute('update executor.agents set beat_clock = executor.observed_ms() - 16000');
    await expectUntouched(FIND_LOST, find, () => change(agent));
    expect(await execute('select * from executor.agent_states')).toMatchObject([left]);
  });

  test('took its session lock again', async () => {
    await using agent = await startSession(database());
    await using lifeline = connectLifeline();
    await execute(
      `update executor.agents set session_lock = true, unlocked_at = now() - interval '2 s'`,
    );
    await expectUntouched(FIND_LOST, find, () => holdSession(lifeline.pool, agent));
    expect(await execute('select lost_at from executor.agents')).toEqual([{ lost_at: null }]);
  });

  test('started anew, when its session lock had just gone', async () => {
    await using agent = await startSession(database());
    await execute('update executor.agents set session_lock = true');
    await expectUntouched(FIND_UNLOCKED, find, () => startAnew(agent));
    const [left] = await execute('select session_lock, unlocked_at from executor.agents');
    expect(left).toEqual({ session_lock: false, unlocked_at: null });
  });

  test('took its session lock, as the next look sees before it counts', async () => {
    await using agent = await startSession(database());
    await using lifeline = connectLifeline();
    await execute('update executor.agents set session_lock = true');
    await inGap(LOCKS_READ, find, () => holdSession(lifeline.pool, agent));
    await execute(`update executor.agents set unlocked_at = unlocked_at - interval '2 s'`);
    await find();
    const [left] = await execute('select lost_at, unlocked_at from executor.agents');
    expect(left).toEqual({ lost_at: null, unlocked_at: null });
  });
});

describe('a beat leaves a claim alone that it misses and that, while it looked,', () => {
  test('completed', async () => {
    await using scene = await startRunning();
    const { owner, claims } = scene;
    await expectUntouched(
      BEAT,
      () => owner.beat([], 1),
      () => owner.complete(claims),
    );
  });

  test.each(['another', 'the same'])('was given back and claimed by %s agent', async (who) => {
    await using scene = await startRunning();
    await using other = await startSession(database());
    const { owner, claims, id } = scene;
    const change = async () => {
      await owner.release(claims);
      await (who === 'another' ? other : owner).claim(1, 2);
    };
    await expectUntouched(BEAT, () => owner.beat([], 1), change);
    expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 2 });
  });
});

describe('a completion is stale and changes nothing when its command, while it came,', () => {
  test.each(['RUNNING', 'PENDING'])('got a newer attempt, and is %s now', async (status) => {
    await using scene = await startRunning();
    await using other = await startSession(database());
    const { owner, claims, id } = scene;
    await tearTicket(id);
    const change = async () => {
      await startAnew(owner);
      const again = await other.claim();
      if (status === 'PENDING') await other.release(again);
    };
    const answer = await expectUntouched(FINISH, () => owner.complete(claims), change);
    expect(answer).toEqual(['stale']);
    expect(await row(database(), id)).toMatchObject({ status, attempt: 2 });
  });

  test('ended as interrupted', async () => {
    await using scene = await startRunning({ delivery: 'at_most_once' });
    const { owner, claims, id } = scene;
    await tearTicket(id);
    const complete = () => owner.complete(claims);
    expect(await expectUntouched(FINISH, complete, () => startAnew(owner))).toEqual(['stale']);
    expect(await row(database(), id)).toMatchObject({ status: 'FAILED' });
  });

  test('is being claimed', async () => {
    await using scene = await startRunning();
    await using other = await startSession(database());
    const { owner, claims, id } = scene;
    await startAnew(owner);
    await tearTicket(id);
    let claim: Promise<ClaimedCommand[]> | undefined;
    const change = async () => ({ claim } = await claimUpToTheCommand(other, id));
    expect(await inGap(FINISH_ONE_LOCKED, () => owner.complete(claims), change)).toEqual(['stale']);
    expect(await claim).toMatchObject([{ id, attempt: 2 }]);
  });
});

test('a completion is accepted when its command goes back while it comes', async () => {
  await using scene = await startRunning();
  const { owner, claims, id } = scene;
  await tearTicket(id);
  const complete = () => owner.complete(claims);
  expect(await inGap(FINISH, complete, () => startAnew(owner))).toEqual(['accepted']);
  expect(await row(database(), id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
});

describe('what is cancelled', () => {
  test.each([
    ['is CANCELLED when it is promoted meanwhile', 'cancelled', false],
    ['gets a request when it is promoted and claimed meanwhile', 'requested', true],
  ])('%s', async (_, answer, claimed) => {
    await using agent = await startSession(database());
    const id = await submitDue();
    const change = async () => {
      await call('promote()');
      if (claimed) await agent.claim();
    };
    expect(await inGap(CANCEL, () => call('cancel_command($1)', [id]), change)).toBe(answer);
    expect(await agent.beat([{ id, attempt: 1 }])).toMatchObject({
      cancelled: claimed ? [id] : [],
    });
    expect(await agent.claim()).toEqual([]);
  });

  test('gets a request when it is being claimed', async () => {
    await using agent = await startSession(database());
    const [id] = await submit(database());
    await tearTicket(id);
    let claim: Promise<ClaimedCommand[]> | undefined;
    const change = async () => ({ claim } = await claimUpToTheCommand(agent, id));
    const cancel = () => call('cancel_command($1)', [id]);
    expect(await inGap(CANCEL_LOCKED, cancel, change)).toBe('requested');
    expect(await claim).toMatchObject([{ id, attempt: 1, cancelRequested: true }]);
  });
});

describe('a concurrency key', () => {
  test('passes over a command that is cancelled just as its turn comes', async () => {
    await using scene = await startRunning({ concurrencyKey: 'k' });
    const { owner, claims } = scene;
    const second = await submitWith({ concurrencyKey: 'k' });
    const third = await submitWith({ concurrencyKey: 'k' });
    const change = () => call('cancel_command($1)', [second]);
    expect(await inGap(UNBLOCK_CHOSEN, () => owner.complete(claims), change)).toEqual(['accepted']);
    await execute('call executor.tick(null)');
    expect([await statusOf(second), await statusOf(third)]).toEqual(['CANCELLED', 'PENDING']);
  });

  test('goes to one command when two look at once', async () => {
    const first = await submitWith({ concurrencyKey: 'k' });
    const second = await submitWith({ concurrencyKey: 'k' });
    await tearTicket(first);
    await execute(`update executor.commands set status = 'BLOCKED'`);
    const unblock = `select executor.unblock('{k}') as count`;
    const sweep = () => execute(unblock);
    expect(await inGap(UNBLOCK, sweep, (gate) => gate.query(unblock))).toEqual([{ count: 1 }]);
    await execute('call executor.tick(null)');
    expect([await statusOf(first), await statusOf(second)]).toEqual(['PENDING', 'BLOCKED']);
  });
});
