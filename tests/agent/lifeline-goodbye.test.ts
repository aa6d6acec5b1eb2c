// Beats go on while an agent says goodbye. In a database of its own: it slows release() down.

import { beforeAll, expect, test } from 'vitest';
import { signOff } from '../../db/agents.ts';
import { runAgent } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { beatEvery } from '../support/lifeline.ts';
import { row, startSession } from '../support/session.ts';

const database = useDatabase();

beforeAll(async () => {
  await beatEvery(database(), 30);
  await database().pool.query(`
    alter function executor.release(uuid, jsonb) rename to release_at_once;
    create function executor.release(p_session uuid, p_claims jsonb)
    returns table (command_id uuid, attempt integer, answer text)
    language plpgsql as $$
    begin
      perform pg_sleep(0.5);
      return query select * from executor.release_at_once(p_session, p_claims);
    end $$`);
});

test('what is given back was started: no beat calls it unstarted meanwhile', async () => {
  const started = Promise.withResolvers<void>();
  const agent = await runAgent(database(), () => {
    started.resolve();
    return new Promise<never>(() => {});
  });
  const { rows } = await database().pool.query<{ id: string }>(
    `select executor.submit_command('DELAY', '{"ms": 0}', '{"delivery": "at_most_once"}') as id`,
  );
  await started.promise;
  expect(await agent.stop(0)).toBe(true);
  expect(await row(database(), rows[0]?.id)).toMatchObject({
    status: 'FAILED',
    error: { code: 'interrupted' },
  });
});

test('a beat that arrives after the goodbye does not bring the agent back', async () => {
  await using session = await startSession(database());
  await signOff(database().pool, session);
  await session.beat();
  const { rows } = await database().pool.query(
    'select state from executor.agent_states where id = $1',
    [session.agentId],
  );
  expect(rows).toEqual([{ state: 'gone' }]);
});
