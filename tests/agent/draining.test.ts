// What others see of an agent that is about to stop.

import { expect, test, vi } from 'vitest';
import { expectStatus, runAgent } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { beatEvery } from '../support/lifeline.ts';
import { row, submit } from '../support/session.ts';

const database = useDatabase();

async function stateOf(agentId: string): Promise<string | undefined> {
  const { rows } = await database().pool.query<{ state: string }>(
    'select state from executor.agent_states where id = $1',
    [agentId],
  );
  return rows[0]?.state;
}

test('an agent is draining from when it is told to stop until its last command has ended', async () => {
  await beatEvery(database(), 60_000);
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const [first] = await submit(database(), 2);
  let started = 0;
  const agent = await runAgent(database(), (_payload, { commandId }) => {
    started += 1;
    return commandId === first ? gates[0]!.promise : gates[1]!.promise;
  });
  await vi.waitFor(() => expect(started).toBe(2), 5_000);
  expect(await stateOf(agent.agentId)).toBe('busy');

  const stopped = agent.stop(20_000);
  await vi.waitFor(async () => expect(await stateOf(agent.agentId)).toBe('draining'), 5_000);
  gates[0]!.resolve();
  await expectStatus(database(), 'COMPLETED', 1);
  expect(await stateOf(agent.agentId)).toBe('draining');

  gates[1]!.resolve();
  expect(await stopped).toBe(true);
  expect(await stateOf(agent.agentId)).toBe('gone');
  await database().pool.query('truncate executor.commands, executor_queue.job cascade');
});

test('what is cancelled while its agent drains ends at once, and with it the agent', async () => {
  await beatEvery(database(), 60_000);
  const [id] = await submit(database());
  const started = Promise.withResolvers<void>();
  const agent = await runAgent(database(), () => {
    started.resolve();
    return new Promise(() => {});
  });
  await started.promise;
  const stopped = agent.stop(20_000);
  await database().pool.query('select executor.cancel_command($1)', [id]);
  expect(await stopped).toBe(true);
  expect(await row(database(), id)).toMatchObject({ status: 'CANCELLED' });
  const { rows } = await database().pool.query('select * from executor.attempts');
  expect(rows).toEqual([]);
});
