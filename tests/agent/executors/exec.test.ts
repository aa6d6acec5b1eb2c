// EXEC: what a program is given, and what is kept of what it says.

import { closeSync, mkdtempSync, openSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { execute, script, transcript } from '../../support/exec.ts';
import { startHttpServer } from '../../support/http-server.ts';

const LIMIT = 65_536;

let dir: string;
beforeAll(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'exec-')));
});
afterAll(() => rmSync(dir, { recursive: true }));

describe('a program', () => {
  test('that succeeds is a result', async () => {
    expect(await script('echo out; echo err >&2')).toEqual({
      exitCode: 0,
      signal: null,
      stdout: 'out\n',
      stderr: 'err\n',
      truncated: false,
    });
  });

  test('gets its arguments as they are, without a shell in between', async () => {
    const args = ['$HOME', '`id`', '; exit 1', '*', '', '-n', 'a\nb', 'ü😀', '"', "'", '\\'];
    const outcome = await execute({ argv: ['/bin/echo', 'x', ...args] });
    expect(outcome).toMatchObject({ result: { stdout: `x ${args.join(' ')}\n` } });
  });

  test('reads what it is given', async () => {
    expect(await script('cat', { stdin: 'grüße\n' })).toMatchObject({ stdout: 'grüße\n' });
  });

  test('that reads when nothing is given is at the end at once', async () => {
    expect(await script('cat; echo end')).toMatchObject({ stdout: 'end\n' });
    expect(await script('cat; echo end', { stdin: '' })).toMatchObject({ stdout: 'end\n' });
  });

  test('need not read a megabyte that it is given', async () => {
    const stdin = 'x'.repeat(1_048_576);
    expect(await script('exec true', { stdin })).toMatchObject({ exitCode: 0 });
    expect(await script('head -c 5', { stdin })).toMatchObject({ stdout: 'xxxxx' });
  });

  test('runs where it is told to', async () => {
    expect(await script('pwd', { cwd: dir })).toMatchObject({ stdout: `${dir}\n` });
    expect(await script('pwd')).toMatchObject({ stdout: `${process.cwd()}\n` });
  });

  test.each(['/does/not/exist', '/etc/passwd'])('does not run in %s', async (cwd) => {
    const outcome = await execute({ argv: ['/bin/echo'], cwd });
    const message = `cwd ${cwd} is no directory here`;
    expect(outcome).toMatchObject({ outcome: 'failed', error: { message, retryable: true } });
  });

  test('that is too long to start fails for good', async () => {
    const outcome = await execute({
      argv: ['/bin/echo', ...Array.from({ length: 200 }, () => 'x'.repeat(100_000))],
    });
    const message = 'argv and env are too long: spawn E2BIG';
    expect(outcome).toMatchObject({ outcome: 'failed', error: { message, retryable: false } });
  });
});

describe("a program's environment", () => {
  const environment = {
    PATH: '/usr/bin:/bin',
    HOME: '/home/agent',
    LANG: 'C.UTF-8',
    TZ: 'UTC',
    DATABASE_URL: 'postgres://u:geheim@host/db',
    NODE_OPTIONS: '--max-old-space-size=100',
    SECRET: 'geheim',
  };
  const inherited = ['HOME=/home/agent', 'LANG=C.UTF-8', 'PATH=/usr/bin:/bin', 'TZ=UTC'];

  test('has no secrets of the agent', async () => {
    const outcome = await execute({ argv: ['/usr/bin/env'] }, { environment });
    expect(linesOf(outcome)).toEqual(inherited);
  });

  test('has what the command says', async () => {
    const env = { TZ: 'Asia/Tokyo', A_1: 'b=c\nd', _: '' };
    const outcome = await execute({ argv: ['/usr/bin/env', '-0'], env }, { environment });
    const { stdout } = (outcome as { result: { stdout: string } }).result;
    expect(stdout.split('\uFFFD').sort()).toEqual(
      ['', 'A_1=b=c\nd', '_=', ...inherited.slice(0, 3), 'TZ=Asia/Tokyo'].sort(),
    );
  });

  test('lacks what the agent lacks', async () => {
    const outcome = await execute({ argv: ['/usr/bin/env'] }, { environment: { PATH: '/bin' } });
    expect(linesOf(outcome)).toEqual(['PATH=/bin']);
  });
});

test('what the agent has open, a program has not', async () => {
  const secret = join(dir, 'secret');
  const file = openSync(secret, 'w');
  await using server = await startHttpServer((_, response) => {
    response.write('x');
  });
  await using _connection = await openConnection(server.url);
  const { stdout } = await script('ls -l /proc/self/fd');
  closeSync(file);
  expect(stdout).toMatch(/ 0 -> \/dev\/null\n/);
  expect(stdout).not.toContain(secret);
  // Its stdout and stderr.
  expect(stdout.match(/socket:/g)?.length).toBe(2);
});

describe('an exit code', () => {
  test('other than 0 fails the attempt, to be retried, with the last lines of stderr', async () => {
    expect(await failure('echo out; seq 1 50 >&2; echo "fatal: no" >&2; exit 3')).toEqual({
      code: 'executor_error',
      message: `/bin/sh ended with exit code 3: ${[42, 43, 44, 45, 46, 47, 48, 49, 50].join('\n')}\nfatal: no`,
      retryable: true,
    });
  });

  test('fails with the last lines of stdout when there are none of stderr', async () => {
    const { message } = await failure('echo first; echo last; echo >&2; exit 255');
    expect(message).toBe('/bin/sh ended with exit code 255: first\nlast');
  });

  test('fails with nothing when nothing was said, and with little when it was much', async () => {
    expect((await failure('exit 1')).message).toBe('/bin/sh ended with exit code 1');
    const much = await failure(`head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1`);
    expect(much.message).toMatch(/^\/bin\/sh ended with exit code 1: x{2000}$/);
  });

  test('that the command lists is a result', async () => {
    expect(await script('exit 3', { okExitCodes: [0, 3] })).toMatchObject({ exitCode: 3 });
    expect(await script('exit 0', { okExitCodes: [0, 3] })).toMatchObject({ exitCode: 0 });
  });

  test('of 0 fails when the command lists others only', async () => {
    expect((await failure('exit 0', { okExitCodes: [1] })).message).toMatch(/exit code 0$/);
  });

  test('is 128 more than the signal that ended it', async () => {
    expect((await failure('kill -SEGV $$')).message).toBe('/bin/sh was ended by SIGSEGV');
    const result = await script('kill -KILL $$', { okExitCodes: [137] });
    expect(result).toMatchObject({ exitCode: 137, signal: 'SIGKILL' });
  });
});

describe('what it writes', () => {
  test('is kept from the end, and said to be cut', async () => {
    const { stdout, truncated } = await script('seq 1 1000000');
    expect(truncated).toBe(true);
    expect(stdout.length).toBe(LIMIT);
    expect(stdout).toMatch(/\n999999\n1000000\n$/);
  });

  test.each([
    [LIMIT - 1, false],
    [LIMIT, false],
    [LIMIT + 1, true],
  ])('of %i bytes is cut: %j', async (bytes, truncated) => {
    const result = await script(`head -c ${bytes} /dev/zero | tr '\\0' x`);
    expect(result).toMatchObject({ truncated, stderr: '' });
    expect(result.stdout.length).toBe(Math.min(bytes, LIMIT));
  });

  test('is kept as far as the command wants it, each of the two', async () => {
    const result = await script('echo 123456789; echo abc >&2', { maxOutputBytes: 5 });
    expect(result).toMatchObject({ stdout: '6789\n', stderr: 'abc\n', truncated: true });
    expect(await script('echo 1', { maxOutputBytes: 0 })).toMatchObject({
      stdout: '',
      truncated: true,
    });
    expect(await script('', { maxOutputBytes: 0 })).toMatchObject({ truncated: false });
  });

  test('is cut between characters', async () => {
    const result = await script('echo 1😀😀', { maxOutputBytes: 8 });
    expect(result).toMatchObject({ stdout: '😀\n', truncated: true });
  });

  test('may be any bytes', async () => {
    const result = await script(String.raw`printf 'a\377\303(\0b\360\237'`);
    expect(result).toMatchObject({ stdout: 'a\uFFFD\uFFFD(\uFFFDb\uFFFD', truncated: false });
  });

  test('can be stored whatever it is', async () => {
    const controls = `head -c 1000000 /dev/zero | tr '\\0' '\\001'`;
    const result = await script(`${controls}; ${controls} >&2`);
    expect(result.stdout.length + result.stderr.length).toBe(2 * LIMIT);
    const random = await script('head -c 1000000 /dev/urandom');
    expect(random.truncated).toBe(true);
  });

  test('without end costs no memory', async () => {
    const before = process.memoryUsage.rss();
    const { stdout } = await script('yes | head -c 300000000');
    expect(stdout).toBe('y\n'.repeat(LIMIT / 2));
    expect(process.memoryUsage.rss() - before).toBeLessThan(192 * 1_048_576);
  });
});

describe("the command's log", () => {
  test('has each line as it comes', async () => {
    const { lines, print } = transcript();
    const fifo = join(dir, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const running = script(`echo one; cat '${fifo}' >&2; echo three`, {}, { print });
    await vi.waitFor(() => expect(lines).toEqual(['one']));
    await writeFile(fifo, 'two\n');
    await running;
    expect(lines).toEqual(['one', 'two', 'three']);
  });

  test.each([
    ['a line without an end', 'a\nb', ['a', 'b']],
    ['empty lines', '\n\na\n', ['', '', 'a']],
    ['carriage returns', 'a\r\nb\rc\r\n', ['a', 'b\rc']],
    ['nothing', '', []],
    ['characters of several bytes', 'grüße 😀\n', ['grüße 😀']],
  ])('takes %s', async (_, stdin, expected) => {
    const { lines, print } = transcript();
    await script('cat', { stdin }, { print });
    expect(lines).toEqual(expected);
  });

  test('takes a character that comes in pieces', async () => {
    const { lines, print } = transcript();
    const halves = String.raw`printf '\303'; cat /dev/null; printf '\274\n'; printf '\360\237'`;
    await script(halves, {}, { print });
    expect(lines).toEqual(['ü', '\uFFFD']);
  });

  test('is given no more than it takes', async () => {
    const { lines, print } = transcript();
    await script(`seq 1 100000; head -c 100000 /dev/zero | tr '\\0' x`, {}, { print });
    expect(lines.length).toBe(1_001);
    const long = transcript();
    await script(`head -c 100000 /dev/zero | tr '\\0' x; echo; echo next`, {}, long);
    expect(long.lines).toEqual(['x'.repeat(2_001), 'next']);
  });

  test('has the lines of a program that failed', async () => {
    const { lines, print } = transcript();
    await execute({ argv: ['/bin/sh', '-c', 'echo a; exit 1'] }, { print });
    expect(lines).toEqual(['a']);
  });
});

/** One that stays open until the scope's end. */
async function openConnection(url: string): Promise<AsyncDisposable> {
  const { body } = await fetch(url);
  return { [Symbol.asyncDispose]: async () => await body?.cancel() };
}

function linesOf(outcome: unknown): string[] {
  const { stdout } = (outcome as { result: { stdout: string } }).result;
  return stdout.trim().split('\n').sort();
}

async function failure(text: string, payload: object = {}) {
  const outcome = await execute({ argv: ['/bin/sh', '-c', text], ...payload });
  if (outcome.outcome !== 'failed') throw new Error('it succeeded');
  return outcome.error;
}
