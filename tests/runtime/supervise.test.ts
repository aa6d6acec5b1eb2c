import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { keepRunning, SupervisedChild } from '../../runtime/supervise.ts';

/** Notes each start in a file, then does as it is told. */
const NOTE = `
  import { appendFileSync } from 'node:fs';
  appendFileSync(import.meta.dirname + '/starts', process.pid + '\\n');
`;
const READY = `process.send({ ready: 'it works' }); process.on('disconnect', () => process.exit());`;

const log = pino({ level: 'silent' });
let dir: string;
let child: SupervisedChild | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'agent-executor-test-'));
});

afterEach(async () => {
  await child?.stop(0);
  child = undefined;
  rmSync(dir, { recursive: true, force: true });
});

function supervise(program: string): SupervisedChild {
  const main = join(dir, 'main.mjs');
  writeFileSync(main, NOTE + program);
  child = new SupervisedChild({ name: 'stub', main, environment: {}, finalCode: 3, log });
  return child;
}

function starts(): number[] {
  return readFileSync(join(dir, 'starts'), 'utf8').trim().split('\n').map(Number);
}

test('a child that ends after it was ready is started again', async () => {
  const stub = supervise(READY);
  expect(await stub.ready).toBe('it works');
  process.kill(starts()[0]!, 'SIGKILL');
  await vi.waitFor(() => expect(starts()).toHaveLength(2), 5_000);
});

test('a child that ends with its final code is left alone', async () => {
  const stub = supervise(`process.on('SIGUSR2', () => process.exit(3)); ${READY}`);
  const warn = vi.spyOn(log, 'warn').mockReturnValue(undefined);
  await stub.ready;
  process.kill(starts()[0]!, 'SIGUSR2');
  await vi.waitFor(() =>
    expect(warn).toHaveBeenCalledWith(expect.anything(), 'a child ended and is not wanted back'),
  );
  await stub.stop(0);
  expect(starts()).toHaveLength(1);
});

test('a child that ends before it was ready has failed, and tells whether it said why', async () => {
  await expect(supervise('process.exit(1)').ready).rejects.toMatchObject({ hasSaidWhy: true });
  await expect(supervise('process.exit(0)').ready).rejects.toMatchObject({
    message: 'The stub ended before it was ready: exit code 0.',
    hasSaidWhy: false,
  });
});

test('a child that does not heed SIGTERM is killed when its time is up', async () => {
  const stub = supervise(`process.on('SIGTERM', () => {}); ${READY}`);
  await stub.ready;
  await stub.stop(100);
  expect(() => process.kill(starts()[0]!, 0)).toThrow('ESRCH');
});

test('a child that was asked to stop is not started again', async () => {
  const stub = supervise(READY);
  await stub.ready;
  await stub.stop(1_000);
  expect(starts()).toHaveLength(1);
});

test('what cannot be restarted at first is tried again', async () => {
  const ending = new AbortController();
  const restart = vi
    .fn<() => Promise<void>>()
    .mockRejectedValueOnce(new Error('not yet'))
    .mockImplementationOnce(async () => ending.abort());
  const exited = Promise.resolve('exit code 2');
  await keepRunning({ exited, restart }, { name: 'stub', log, signal: ending.signal });
  expect(restart).toHaveBeenCalledTimes(2);
});
