import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, expect, test, vi } from 'vitest';
import { expectStatus, runAgent } from '../support/agent.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { beatEvery } from '../support/lifeline.ts';
import { row, submit } from '../support/session.ts';

const database = useDatabase();

// Before each and not after: what a test leaves behind is for the fixture to check.
beforeEach(() => emptyLedger(database()));

const never = () => new Promise<never>(() => {});

/** Submits a command that may not be tried again, with more options of submit_command(). */
async function submitForOneAttempt(options: object = {}): Promise<string> {
  const { rows } = await database().pool.query<{ id: string }>(
    `select executor.submit_command('DELAY', '{"ms": 7}', $1) as id`,
    [{ maxAttempts: 1, ...options }],
  );
  return rows[0]?.id ?? '';
}

test('a command that psql submits is executed and its result is in the ledger', async () => {
  await using agent = await runAgent(database(), (payload) => Promise.resolve({ got: payload }));
  const { rows } = await database().pool.query(
    `select executor.submit_command('DELAY', '{"ms": 7}') as id`,
  );
  await expectStatus(database(), 'COMPLETED', 1, 2_000);
  expect(await row(database(), rows[0].id as string)).toMatchObject({
    result: { got: { ms: 7 } },
    agent_id: agent.agentId,
    attempt: 1,
  });
});

test('what waited before the agent started is executed', async () => {
  await submit(database(), 30);
  await using _agent = await runAgent(database());
  await expectStatus(database(), 'COMPLETED', 30, 2_000);
});

test('no more commands execute at once than the agent has slots, and all get their turn', async () => {
  let executing = 0;
  let most = 0;
  await submit(database(), 40);
  await using _agent = await runAgent(
    database(),
    async () => {
      executing += 1;
      most = Math.max(most, executing);
      await sleep(5);
      executing -= 1;
    },
    { concurrency: 3 },
  );
  await expectStatus(database(), 'COMPLETED', 40);
  expect(most).toBe(3);
});

test('an agent claims only what it has slots for', async () => {
  await submit(database(), 10);
  await using _agent = await runAgent(database(), never, { concurrency: 4 });
  await expectStatus(database(), 'RUNNING', 4);
  await expectStatus(database(), 'PENDING', 6);
});

test('an executor that throws makes its command FAILED with the error kept', async () => {
  await using _agent = await runAgent(database(), () => Promise.reject(new Error('no luck')));
  const id = await submitForOneAttempt();
  await expectStatus(database(), 'FAILED', 1);
  expect(await row(database(), id)).toMatchObject({
    error: { code: 'executor_error', message: expect.stringContaining('no luck') as unknown },
  });
});

test('an attempt past its time is FAILED as timed out, also when its executor does not listen', async () => {
  await using _agent = await runAgent(database(), never);
  const id = await submitForOneAttempt({ timeoutMs: 20 });
  await expectStatus(database(), 'FAILED', 1);
  expect(await row(database(), id)).toMatchObject({
    error: { code: 'timed_out', message: 'timed out after 20 ms' },
  });
});

test('draining finishes what runs and claims nothing more', async () => {
  const gate = Promise.withResolvers<void>();
  let started = 0;
  await submit(database(), 6);
  const execute = () => {
    started += 1;
    return gate.promise;
  };
  const agent = await runAgent(database(), execute, { concurrency: 2 });
  await vi.waitFor(() => expect(started).toBe(2), 5_000);
  const stopped = agent.stop(10_000);
  gate.resolve();
  expect(await stopped).toBe(true);
  await expectStatus(database(), 'COMPLETED', 2);
  await expectStatus(database(), 'PENDING', 4);
});

test('what does not finish while draining goes back unharmed', async () => {
  const signals: AbortSignal[] = [];
  const [id] = await submit(database());
  const agent = await runAgent(database(), (_payload, { signal }) => {
    signals.push(signal);
    return never();
  });
  await vi.waitFor(() => expect(signals).toHaveLength(1), 5_000);
  expect(await agent.stop(50)).toBe(true);
  expect(signals[0]?.aborted).toBe(true);
  expect(await row(database(), id)).toMatchObject({ status: 'PENDING', attempt: 1, error: null });
});

test('an agent whose lifeline was cut hears of work again', async () => {
  await using _agent = await runAgent(database());
  await submit(database());
  await expectStatus(database(), 'COMPLETED', 1);
  await database().pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where application_name like 'agent-executor lifeline%' and datname = current_database()`,
  );
  await submit(database());
  await expectStatus(database(), 'COMPLETED', 2);
});

test('a newer process with the same id supersedes the agent, which gives back what it holds', async () => {
  await beatEvery(database(), 1_000);
  const gate = Promise.withResolvers<void>();
  const old = await runAgent(database(), () => gate.promise, { agentId: 'twin' });
  await submit(database());
  await expectStatus(database(), 'RUNNING', 1);
  await using _young = await runAgent(database(), undefined, { agentId: 'twin' });
  await vi.waitFor(() => expect(old.superseded.aborted).toBe(true), 10_000);
  await old.stop(0);
  gate.resolve();
  await expectStatus(database(), 'COMPLETED', 1);
  // Until its next beat the old process may have claimed again; each time that was taken back too.
  const { rows } = await database().pool.query<{ outcome: string }>(
    'select outcome from executor.attempts order by attempt',
  );
  for (const { outcome } of rows) expect(outcome).toMatch(/^(lost|released|unstarted)$/);
  expect(rows).not.toEqual([]);
});
