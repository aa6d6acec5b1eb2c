import { describe, test } from 'vitest';
import { createExec } from '../../../agent/executors/exec.ts';
import { expectPayload } from '../../support/contract.ts';

describe('the published schema and the executor agree on', () => {
  const exec = createExec({ programs: new Map(), environment: {} });
  const argv = ['x'];

  test.each<[unknown, boolean]>([
    [{ argv }, true],
    [{ argv: ['x', '', '\n', 'ü'] }, true],
    [{ argv: Array.from({ length: 1_000 }, () => 'x') }, true],
    [{ argv, stdin: '', env: {}, cwd: '/', maxOutputBytes: 0, okExitCodes: [0, 255] }, true],
    [{}, false],
    [{ argv: [] }, false],
    [{ argv: 'x' }, false],
    [{ argv: ['x', 1] }, false],
    [{ argv: ['x', null] }, false],
    [{ argv: ['x\0y'] }, false],
    [{ argv: ['x', 'a\0'] }, false],
    [{ argv: Array.from({ length: 1_001 }, () => 'x') }, false],
    [{ argv: ['x'.repeat(131_072)] }, false],
    [{ argv, shell: true }, false],
    [{ argv, stdin: null }, false],
    [{ argv, stdin: ['a'] }, false],
    [{ argv, cwd: 'relative' }, false],
    [{ argv, cwd: './relative' }, false],
    [{ argv, cwd: '' }, false],
    [{ argv, cwd: '/a\0b' }, false],
    [{ argv, maxOutputBytes: -1 }, false],
    [{ argv, maxOutputBytes: 65_537 }, false],
    [{ argv, maxOutputBytes: 1.5 }, false],
    [{ argv, okExitCodes: [] }, false],
    [{ argv, okExitCodes: [-1] }, false],
    [{ argv, okExitCodes: [256] }, false],
    [{ argv, okExitCodes: 0 }, false],
    [null, false],
  ])('%j: %j', (payload, accepted) => expectPayload(exec, payload, accepted));

  test.each<[Record<string, unknown>, boolean]>([
    [{ A: '', _b: 'c', C_1: '\n' }, true],
    [{ PATHS: 'a', MY_PATH: 'b', ENVIRONMENT: 'c' }, true],
    [{ HOME: '/', LANG: 'C', TZ: 'UTC' }, true],
    [{ '': 'a' }, false],
    [{ '1A': 'a' }, false],
    [{ 'A=B': 'a' }, false],
    [{ 'A-B': 'a' }, false],
    [{ 'A\n': 'a' }, false],
    [{ A: 'a\0b' }, false],
    [{ A: 1 }, false],
    [{ A: null }, false],
    [{ PATH: '/tmp' }, false],
    [{ LD_PRELOAD: '/tmp/x.so' }, false],
    [{ LD_LIBRARY_PATH: '/tmp' }, false],
    [{ DYLD_INSERT_LIBRARIES: '/tmp' }, false],
    [{ BASH_ENV: '/tmp/x' }, false],
    [{ ENV: '/tmp/x' }, false],
    [{ IFS: '/' }, false],
    [{ NODE_OPTIONS: '--require=/tmp/x' }, false],
    [{ PYTHONPATH: '/tmp' }, false],
    [{ PERL5OPT: '-M/tmp' }, false],
    [{ RUBYOPT: '-r/tmp/x' }, false],
  ])('env %j: %j', (env, accepted) => expectPayload(exec, { argv, env }, accepted));
});
