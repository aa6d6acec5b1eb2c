// Simulated crashes: the flags, and that nothing is tidied up.

import { afterEach, expect, test } from 'vitest';
import { readConfig } from '../../agent/config.ts';
import { ConfigError } from '../../runtime/environment.ts';
import { expectStatus } from '../support/agent.ts';
import { useAgentProcesses } from '../support/agent-process.ts';
import { useDatabase } from '../support/database.ts';
import { submit } from '../support/session.ts';

const database = useDatabase();
const { start, ready } = useAgentProcesses(database);

afterEach(async () => {
  await database().pool.query('truncate executor.commands, executor_queue.job cascade');
});

async function signedOff(agentId: string): Promise<boolean | undefined> {
  const { rows } = await database().pool.query<{ gone: boolean }>(
    'select signed_off_at is not null as gone from executor.agents where id = $1',
    [agentId],
  );
  return rows[0]?.gone;
}

test('--kill-after ends the agent abruptly while its commands run', async () => {
  const { agent, agentId } = await ready({}, ['--kill-after=1.5']);
  await submit(database(), 2, { ms: 600_000 });
  await expectStatus(database(), 'RUNNING', 2);
  expect(await agent.exited).toEqual({ code: 1, signal: null });
  expect(agent.stdout()).toMatch(/"msg":"simulating a crash"}\n$/);
  await expectStatus(database(), 'RUNNING', 2);
  expect(await signedOff(agentId)).toBe(false);
});

test('--random-failures ends the agent abruptly while a command of its runs', async () => {
  const { agent, agentId } = await ready({}, ['--random-failures=1']);
  await submit(database(), 1, { ms: 600_000 });
  expect(await agent.exited).toEqual({ code: 1, signal: null });
  expect(agent.stdout()).toMatch(/"msg":"simulating a crash"}\n$/);
  await expectStatus(database(), 'RUNNING', 1);
  expect(await signedOff(agentId)).toBe(false);
});

test('a short command may be executed and yet not reported', async () => {
  const { agent } = await ready({}, ['--random-failures=1']);
  await submit(database(), 1, { ms: 0 });
  expect(await agent.exited).toEqual({ code: 1, signal: null });
  await expectStatus(database(), 'RUNNING', 1);
});

test('with no probability nothing fails', async () => {
  await ready({}, ['--random-failures=0']);
  await submit(database(), 50);
  await expectStatus(database(), 'COMPLETED', 50);
});

test('--random-failures alone means one in ten; neither flag, never', () => {
  expect(readConfig({}, ['--random-failures']).RANDOM_FAILURES).toBe(0.1);
  expect(readConfig({}, ['--random-failures=.25']).RANDOM_FAILURES).toBe(0.25);
  expect(readConfig({}, ['--random-failures', '--kill-after', '5'])).toMatchObject({
    RANDOM_FAILURES: 0.1,
    KILL_AFTER: 5,
  });
  expect(readConfig({}, []).RANDOM_FAILURES).toBe(0);
  expect(readConfig({}, []).KILL_AFTER).toBeUndefined();
});

test('an agent of `npm start` can be told by its environment', () => {
  const environment = { KILL_AFTER: '30', RANDOM_FAILURES: '0.5' };
  expect(readConfig(environment, ['--kill-after=2'])).toMatchObject({
    KILL_AFTER: 2,
    RANDOM_FAILURES: 0.5,
  });
});

test.each([
  '--kill-after',
  '--kill-after=',
  '--kill-after=0',
  '--kill-after=-5',
  '--kill-after -5',
  '--kill-after=soon',
  '--kill-after=1e9',
  '--kill-after=99999999',
  '--random-failures=',
  '--random-failures=2',
  '--random-failures=1.5',
  '--random-failures=-0.1',
  '--random-failures=10%',
  '--random-failures=NaN',
  '--random-failures 0.5',
])('%s is refused in one line', (flags) => {
  const read = () => readConfig({}, flags.split(' '));
  expect(read).toThrow(ConfigError);
  expect(read).toThrow(/^[^\n]+$/);
});

test('a wrong flag is one line and exit code 1', async () => {
  const agent = start({}, ['--kill-after=soon']);
  expect(await agent.exited).toEqual({ code: 1, signal: null });
  expect(agent.stderr()).toMatch(/^Wrong settings: KILL_AFTER: expected a number of seconds .+\n$/);
});
