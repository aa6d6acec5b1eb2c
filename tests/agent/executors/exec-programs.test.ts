// Which programs EXEC runs: those of the list, by the names of the list, and nothing that looks like one.

import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findPrograms } from '../../../agent/executors/exec-programs.ts';
import { ConfigError } from '../../../runtime/environment.ts';
import { execute } from '../../support/exec.ts';

let dir: string;

beforeAll(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'programs-')));
  // As in busybox: one file that is whatever it is called.
  copyFileSync('/bin/sh', join(dir, 'box'));
  symlinkSync('box', join(dir, 'applet'));
  symlinkSync('box', join(dir, 'other'));
  symlinkSync('/bin/echo', join(dir, 'link'));
  mkdirSync(join(dir, 'folder'));
  writeFileSync(join(dir, 'text'), 'no program');
  writeFileSync(join(dir, 'tool'), '#!/bin/sh\necho tool "$@"\n');
  chmodSync(join(dir, 'tool'), 0o755);
});

afterAll(() => rmSync(dir, { recursive: true }));

describe('a program that is not on the list', () => {
  test.each([
    ['another one', () => '/bin/cat'],
    ['a name without its path', () => 'echo'],
    ['a path that leads there', () => '/bin/../bin/echo'],
    ['a path with two slashes', () => '/bin//echo'],
    ['a path that ends in one', () => '/bin/echo/'],
    ['a relative path', () => relative(process.cwd(), '/bin/echo')],
    ['a path from here', () => './echo'],
    ['a link to one that is', () => join(dir, 'link')],
    ['a link to the same file', () => join(dir, 'other')],
    ['the file that a listed link leads to', () => join(dir, 'box')],
    ['another case', () => '/bin/ECHO'],
    ['a space more', () => '/bin/echo '],
    ['a whole command line', () => '/bin/echo hello'],
    ['nothing', () => ''],
    ['a name of every object', () => '__proto__'],
  ])('is refused for good, and is not run: %s', async (_, name) => {
    const programs = findPrograms(['/bin/echo', join(dir, 'applet')]);
    const outcome = await execute({ argv: [name(), 'hello'] }, { programs });
    expect(outcome).toEqual({
      outcome: 'failed',
      error: {
        code: 'executor_error',
        message: `${JSON.stringify(name())} is not among the programs of ALLOW_EXEC`,
        retryable: false,
      },
    });
  });
});

describe('a listed program', () => {
  test('may be called by its path', async () => {
    expect(await run(['/bin/echo'], ['/bin/echo', 'hello'])).toBe('hello\n');
  });

  test.each(['tool', () => join(dir, 'tool')])(
    'that is listed by its name may be called by the name, or the path where it was found',
    async (name) => {
      const called = typeof name === 'string' ? name : name();
      expect(await run(['tool'], [called, 'x'], `/nowhere:${dir}`)).toBe('tool x\n');
    },
  );

  test('is told the name that it was called by', async () => {
    const applet = join(dir, 'applet');
    const shown = await run([applet], [applet, '-c', "tr '\\0' ' ' < /proc/$$/cmdline"]);
    expect(shown).toMatch(new RegExp(`^${applet} -c `));
  });

  test('stays what it was at the start when its link is bent', async () => {
    const bent = join(dir, 'bent');
    symlinkSync('/bin/echo', bent);
    const programs = findPrograms([bent]);
    unlinkSync(bent);
    symlinkSync('/bin/sh', bent);
    const outcome = await execute({ argv: [bent, '-c', 'exit 5'] }, { programs });
    expect(outcome).toMatchObject({ outcome: 'completed', result: { stdout: '-c exit 5\n' } });
  });

  test('that is gone fails the attempt, to be retried', async () => {
    const gone = join(dir, 'gone');
    copyFileSync(join(dir, 'tool'), gone);
    const programs = findPrograms([gone]);
    unlinkSync(gone);
    const outcome = await execute({ argv: [gone] }, { programs });
    const message = expect.stringMatching(/^cannot start .+ENOENT$/) as string;
    expect(outcome).toMatchObject({ outcome: 'failed', error: { message, retryable: true } });
  });
});

describe('a list with a program that is not there is refused in one line', () => {
  test.each([
    ['a path', () => join(dir, 'missing')],
    ['a folder', () => join(dir, 'folder')],
    ['a file that cannot be run', () => join(dir, 'text')],
    ['a path below a file', () => '/bin/echo/x'],
    ['a name', () => 'missing'],
    ['a name in a folder that is not on PATH', () => 'echo'],
    ['a name in a folder that is on PATH by a relative path', () => 'agent'],
  ])('%s', (_, listed) => {
    const find = () => findPrograms(['/bin/sh', listed()], `::.:bin:${dir}/folder`);
    expect(find).toThrow(ConfigError);
    expect(find).toThrow(/^Wrong settings: ALLOW_EXEC: no program [^\n]+$/);
    expect(find).toThrow(listed());
  });
});

async function run(list: string[], argv: string[], path = ''): Promise<string> {
  const outcome = await execute({ argv }, { programs: findPrograms(list, path) });
  if (outcome.outcome === 'failed') throw new Error(outcome.error.message);
  return (outcome.result as { stdout: string }).stdout;
}
