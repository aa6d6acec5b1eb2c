// Types of one's own: what an agent has loaded is submitted and executed like any other type.

import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { useAgentProcesses } from '../support/agent-process.ts';
import { useDatabase } from '../support/database.ts';
import { source, useDirectory, write } from '../support/executor-files.ts';
import { post, submit, useServer } from '../support/server.ts';
import { row } from '../support/session.ts';

const EXAMPLE = join(import.meta.dirname, '../../examples/executors/word-count.ts');

const database = useDatabase();
const server = useServer(database);
const { start, ready } = useAgentProcesses(database);
const dir = useDirectory();

afterEach(async () => {
  await database().pool.query('truncate executor.commands, executor_queue.job cascade');
});

describe('an agent with executors of its own', () => {
  test('publishes them, so that REST and psql accept them, and executes them', async () => {
    // Known to the server already when the agent comes: an unknown type is looked for at once.
    expect((await post(server().url, { type: 'MINE', payload: { a: 'x' } })).status).toBe(400);
    write(dir(), { 'mine.ts': source() });
    await ready({}, ['--executors', dir()]);

    const id = await submit(server().url, 'MINE', { a: 'x' });
    await expectCompleted(id, { a: 'x' });
    const refused = await post(server().url, { type: 'MINE', payload: { a: 1 } });
    expect(await refused.json()).toMatchObject({ errors: [{ pointer: '#/payload/a' }] });

    const { rows } = await database().pool.query<{ id: string }>(
      `select executor.submit_command('MINE', '{"a": "y"}') as id`,
    );
    await expectCompleted(rows[0]!.id, { a: 'y' });
  });

  test('publishes a contract that has changed', async () => {
    write(dir(), { 'mine.ts': source() });
    await ready({ EXECUTORS_DIR: dir() });
    write(dir(), {
      'mine.ts': source({ description: `'Mine anew.'`, timeout: '{ defaultMs: 7000 }' }),
    });
    await ready({ EXECUTORS_DIR: dir() });
    const { rows } = await database().pool.query(
      `select description, default_timeout::text from executor.command_types where type = 'MINE'`,
    );
    expect(rows).toEqual([{ description: 'Mine anew.', default_timeout: '00:00:07' }]);
  });

  test('does not publish the built-in ones, which are not its own', async () => {
    const stamp = async () =>
      await database().pool.query(`select type, updated_at from executor.command_types
        where type in ('DELAY', 'HTTP_GET_JSON', 'HTTP_REQUEST') order by 1`);
    await database().pool.query(
      `update executor.command_types set description = 'newer' where type = 'DELAY'`,
    );
    const { rows } = await stamp();
    write(dir(), { 'mine.ts': source() });
    await ready({ EXECUTORS_DIR: dir() });
    expect((await stamp()).rows).toEqual(rows);
  });

  test('fails an attempt whose executor throws, and says why', async () => {
    const error = `Object.assign(new Error('no luck'), { retryable: false })`;
    write(dir(), { 'mine.ts': source({ execute: `() => { throw ${error}; }` }) });
    await ready({ EXECUTORS_DIR: dir() });
    const id = await submit(server().url, 'MINE', { a: 'x' });
    await vi.waitFor(
      async () =>
        expect(await row(database(), id)).toMatchObject({
          status: 'FAILED',
          error: { code: 'executor_error', message: 'no luck', retryable: false },
        }),
      { timeout: 10_000 },
    );
  });

  test('does not start with one that is wrong, and says so in one line', async () => {
    write(dir(), { 'bad.ts': 'throw new Error("no\\nluck");' });
    const agent = start({ EXECUTORS_DIR: dir() });
    expect(await agent.exited).toEqual({ code: 1, signal: null });
    expect(agent.stderr()).toBe(`Cannot use ${join(dir(), 'bad.ts')}: no luck\n`);
    const { rows } = await database().pool.query('select from executor.agents where pid = $1', [
      agent.pid,
    ]);
    expect(rows).toEqual([]);
  });
});

test('the example works as it stands, wherever it is copied to', async () => {
  copyFileSync(EXAMPLE, join(dir(), 'word-count.ts'));
  write(dir(), { 'text.txt': ' one two\nthree\tfour\n\n  five' });
  await ready({ EXECUTORS_DIR: dir() });
  const id = await submit(server().url, 'WORD_COUNT', { path: join(dir(), 'text.txt') });
  await expectCompleted(id, { lines: 3, words: 5, bytes: 27 });
});

async function expectCompleted(id: string, result: unknown): Promise<void> {
  await vi.waitFor(
    async () => expect(await row(database(), id)).toMatchObject({ status: 'COMPLETED', result }),
    { timeout: 10_000 },
  );
}
