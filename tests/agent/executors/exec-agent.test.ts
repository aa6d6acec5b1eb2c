// EXEC in an agent that is a process: what it takes to be allowed, and what becomes of programs when the
// agent ends, in whatever way.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { useAgentProcesses } from '../../support/agent-process.ts';
import { useDatabase } from '../../support/database.ts';
import { useDirectory } from '../../support/executor-files.ts';
import { isAlive } from '../../support/process.ts';
import { childrenOf, expectGone, membersOf } from '../../support/process-groups.ts';
import { post, useServer } from '../../support/server.ts';
import { row } from '../../support/session.ts';

const database = useDatabase();
const server = useServer(database);
const { start, ready } = useAgentProcesses(database);
const dir = useDirectory();

afterEach(async () => {
  const { pool } = database();
  await pool.query('truncate executor.commands, executor_queue.job cascade');
  await pool.query(`delete from executor.command_types where type = 'EXEC'`);
});

/** Says its group and stays, with a child, whatever it is told. */
const STUBBORN = `trap '' TERM; sleep 100000 & echo $$; wait; wait`;

describe('an agent', () => {
  test('runs no program unless it is told which', async () => {
    await ready();
    expect(
      (await post(server().url, { type: 'EXEC', payload: { argv: ['/bin/echo'] } })).status,
    ).toBe(400);
    const { rows } = await database().pool.query(
      `select from executor.command_types where type = 'EXEC'`,
    );
    expect(rows).toEqual([]);
  });

  test.each([
    ['a flag', {}, ['--allow-exec=/bin/sh,env']],
    ['its environment', { ALLOW_EXEC: ' /bin/sh , env ' }, []],
  ])('runs those that %s names, and puts what they say into the log', async (_, env, args) => {
    await ready({ ...env, SECRET: 'geheim' }, args);
    const id = await submit('echo one; echo two >&2; env');
    await expectCommand(id, { status: 'COMPLETED' });
    const { result } = await row(database(), id);
    const { stdout } = result as { stdout: string };
    expect(stdout).toContain('PATH=');
    expect(stdout).not.toMatch(/DATABASE_URL|DATA_DIR|postgres|geheim/);
    const { rows } = await database().pool.query<{ line: string }>(
      'select line from executor.command_logs where command_id = $1 order by line_no limit 1',
      [id],
    );
    expect(rows).toEqual([{ line: 'one' }]);
  });

  test.each([
    [
      ['--allow-exec=/no/such/program'],
      /^Wrong settings: ALLOW_EXEC: no program \/no\/such\/.+\n$/,
    ],
    [['--allow-exec=no-such-program'], /^Wrong settings: ALLOW_EXEC: no program .+ on PATH\n$/],
    [['--allow-exec=./sh'], /^Wrong settings: ALLOW_EXEC.*: expected absolute paths or names.+\n$/],
    [['--allow-exec=/bin/sh,'], /^Wrong settings: ALLOW_EXEC.*: expected absolute.+\n$/],
    [['--allow-exec='], /^Option '--allow-exec' needs a value.\n$/],
    [['--allow-exec'], /^Option '--allow-exec.* argument missing\n$/],
  ])('does not start with %o', async (args, message) => {
    const agent = start({}, args);
    expect(await agent.exited).toEqual({ code: 1, signal: null });
    expect(agent.stderr()).toMatch(message);
  });
});

describe('a program', () => {
  test('ends when its attempt takes too long', async () => {
    await ready({ ALLOW_EXEC: '/bin/sh' });
    const id = await submit('sleep 100000 & echo $$; wait', { timeoutMs: 1_500, maxAttempts: 1 });
    await expectCommand(id, { status: 'FAILED', error: { code: 'timed_out' } });
    await expectGone(await groupOf(id));
  });

  test('ends when its command is cancelled', async () => {
    await ready({ ALLOW_EXEC: '/bin/sh' });
    const id = await submit('sleep 100000 & echo $$; wait');
    const group = await groupOf(id);
    await database().pool.query('select executor.cancel_command($1)', [id]);
    await expectCommand(id, { status: 'CANCELLED' });
    await expectGone(group);
  });

  test('ends with an agent that stops, even if it does not listen, and its command goes back', async () => {
    const { agent } = await ready({ ALLOW_EXEC: '/bin/sh', SHUTDOWN_TIMEOUT_MS: '100' });
    const id = await submit(STUBBORN);
    const group = await groupOf(id);
    agent.kill('SIGTERM');
    expect(await agent.exited).toEqual({ code: 0, signal: null });
    await expectGone(group);
    expect(await row(database(), id)).toMatchObject({ status: 'PENDING', error: null });
  });

  test('may tidy up when the agent stops', async () => {
    const { agent } = await ready({ ALLOW_EXEC: '/bin/sh', SHUTDOWN_TIMEOUT_MS: '100' });
    const tidied = join(dir(), 'tidied');
    await groupOf(
      await submit(`trap 'sleep 0.1; : > ${tidied}; exit' TERM; echo $$; sleep 9999 & wait`),
    );
    agent.kill('SIGTERM');
    await agent.exited;
    expect(existsSync(tidied)).toBe(true);
  });

  test('ends with an agent that is killed', async () => {
    const { agent } = await ready({ ALLOW_EXEC: '/bin/sh' });
    const groups = await Promise.all(
      [STUBBORN, STUBBORN].map(async (text) => groupOf(await submit(text))),
    );
    expect(groups.flatMap(membersOf).length).toBe(4);
    agent.kill('SIGKILL');
    for (const group of groups) await expectGone(group);
  });

  test('ends with an agent that crashes on its own', async () => {
    const { agent } = await ready({ ALLOW_EXEC: '/bin/sh' }, ['--kill-after=5']);
    const group = await groupOf(await submit(STUBBORN));
    expect(await agent.exited).toEqual({ code: 1, signal: null });
    await expectGone(group);
  });

  test('ends with its agent though the watchdog was killed meanwhile', async () => {
    const { agent } = await ready({ ALLOW_EXEC: '/bin/sh' });
    const first = await groupOf(await submit(STUBBORN));
    const watchdog = watchdogOf(agent.pid);
    process.kill(watchdog, 'SIGKILL');
    await vi.waitFor(() => expect(watchdogOf(agent.pid)).not.toBe(watchdog), 5_000);
    const second = await groupOf(await submit(STUBBORN));
    agent.kill('SIGKILL');
    await expectGone(first);
    await expectGone(second);
  });

  test('leaves nothing behind, and the watchdog goes with the agent', async () => {
    const { agent } = await ready({ ALLOW_EXEC: '/bin/sh' });
    for (let count = 0; count < 3; count++)
      await expectCommand(await submit('echo $$'), { status: 'COMPLETED' });
    const watchdog = watchdogOf(agent.pid);
    agent.kill('SIGTERM');
    expect(await agent.exited).toEqual({ code: 0, signal: null });
    await vi.waitFor(() => expect(isAlive(watchdog)).toBe(false));
  });
});

async function submit(text: string, options: object = {}): Promise<string> {
  const { rows } = await database().pool.query<{ id: string }>(
    `select executor.submit_command('EXEC', $1, $2) as id`,
    [JSON.stringify({ argv: ['/bin/sh', '-c', text] }), JSON.stringify(options)],
  );
  return rows[0]!.id;
}

/** What a program says first: its group. */
async function groupOf(id: string): Promise<number> {
  return await vi.waitFor(
    async () => {
      const { rows } = await database().pool.query<{ line: string }>(
        'select line from executor.command_logs where command_id = $1 and line_no = 1',
        [id],
      );
      expect(rows.length).toBe(1);
      return Number(rows[0]!.line);
    },
    { timeout: 10_000, interval: 20 },
  );
}

async function expectCommand(id: string, expected: object): Promise<void> {
  await vi.waitFor(async () => expect(await row(database(), id)).toMatchObject(expected), {
    timeout: 10_000,
    interval: 20,
  });
}

function watchdogOf(agent: number): number {
  const found = childrenOf(agent).filter(({ commandLine }) => commandLine.includes('groups='));
  expect(found.length).toBe(1);
  return found[0]!.pid;
}
