// Which files of a directory are executors, and which end the agent's start.

import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { load, source, useDirectory, write, type Loaded } from '../../support/executor-files.ts';
import { temporaryDirectory } from '../../support/postgres.ts';

const dir = useDirectory();

describe('a directory', () => {
  test('gives every file of the right kind, in the order of their names', () => {
    write(dir(), {
      'c.ts': source({ type: `'C' as string` }),
      'a.js': source({ type: `'A'` }),
      'b.mjs': source({ type: `'B'` }),
      'd.mts': source({ type: `'D'` }),
    });
    expect(load([dir()])).toEqual([{ types: ['A', 'B', 'C', 'D'] }]);
  });

  test('may hold other things too', () => {
    write(dir(), {
      'mine.ts': `import { type } from './shared/type.ts';\n${source({ type: 'type' })}`,
      'shared/type.ts': `export const type: string = 'SHARED';`,
      'mine.test.ts': 'throw new Error()',
      'mine.spec.js': 'throw new Error()',
      'types.d.ts': 'throw new Error()',
      '.hidden.ts': 'throw new Error()',
      'README.md': '# Mine',
      'package.json': '{"type": "module"}',
      'folder.ts/mine.ts': 'throw new Error()',
    });
    expect(load([dir()])).toEqual([{ types: ['SHARED'] }]);
  });

  test('may be empty, or one of links', () => {
    expect(load([dir()])).toEqual([{ types: [] }]);
    write(dir(), { 'data/mine.ts': source() });
    symlinkSync(join(dir(), 'data/mine.ts'), join(dir(), 'mine.ts'));
    expect(load([dir()])).toEqual([{ types: ['MINE'] }]);
  });

  test.each([
    ['is not there', 'missing'],
    ['is a file', 'file'],
  ])('that %s ends the start', (_, name) => {
    write(dir(), { file: '' });
    expect(load([join(dir(), name)])).toEqual([
      {
        error: 'ConfigError',
        message: expect.stringMatching(/^Cannot read EXECUTORS_DIR: .+$/) as string,
      },
    ]);
  });
});

describe('a file', () => {
  const plain = `{ type: 'MINE', description: 'Mine.', payload: z.object({}), result: z.unknown(),
    timeout: { defaultMs: 1000, payloadKey: 'ms' }, execute: async () => 1 }`;
  const withZod = `import { z } from '${import.meta.resolve('zod')}';`;

  const fine = [
    ['a function by default', source()],
    ['a function that takes its time', `export default async ({ z }) => (${plain});`],
    ['an object by default', `${withZod} export default ${plain};`],
    ['an object by any name', `${withZod} export const mine = ${plain}; export const other = 1;`],
    ['one by two names', `${withZod} export const mine = ${plain}; export default mine;`],
    [
      'an object of a class',
      `${withZod} class Mine { constructor() { Object.assign(this, ${plain}); delete this.execute; }
       async execute() { return 1; } }  export default new Mine();`,
    ],
    ['what it waited for', `${withZod} await null; export default ${plain};`],
    ['functions that are not for us', `export const helper = () => process.exit(7);\n${source()}`],
    ['objects that are no executors', `export const a = { type: 'A' }, b = null;\n${source()}`],
  ] as const;

  test('may export its executor in one of many ways', () => {
    fine.forEach(([, text], i) => write(dir(), { [`${i}/mine.mjs`]: text }));
    const loaded = load(fine.map((_, i) => join(dir(), `${i}`)));
    const ways = fine.map(([way], i) => [way, loaded[i]]);
    expect(ways).toEqual(fine.map(([way]) => [way, { types: ['MINE'] }]));
  });

  test('may export several', () => {
    const other = `export const other = { ...mine, type: 'OTHER' };`;
    write(dir(), { 'mine.mjs': `${withZod} export const mine = ${plain};\n${other}` });
    expect(load([dir()])).toEqual([{ types: ['MINE', 'OTHER'] }]);
  });

  test('may be of the old kind of module', () => {
    write(dir(), { 'mine.js': `module.exports = ({ z }) => (${plain});` });
    expect(load([dir()])).toEqual([{ types: ['MINE'] }]);
  });

  const faulty = [
    ['throws', `throw new Error('no\\nluck');`, /^no luck$/],
    ['throws in its function', `export default () => { throw new Error('no luck'); };`, /no luck/],
    ['cannot be parsed', `export const a = ;`, /^.*\(line 1\)$/],
    ['needs more than Node strips', `\nenum A { B }\n${source()}`, /^.*enum.*\(line 2\)$/],
    ['imports what is not there', `import 'no-such-package';\n${source()}`, /no-such-package/],
    ['exports nothing', `const a = 1;`, /^exports no executor/],
    ['exports no executor', `export const a = { b: 1 };`, /^exports no executor/],
    ['makes no executor', `export default () => undefined;`, /^exports no executor/],
    [
      'exports a half',
      `export const a = { type: 'A', execute() {} };`,
      /description: .+; payload: /,
    ],
    ['exports another thing', `export default { hello: 1 };`, /^exports no executor/],
    ['has no description', source({ description: `''` }), /^description: /],
    ['has no execute', source({ execute: '5' }), /^execute: expected a function$/],
    ['has no timeout', source({ timeout: 'undefined' }), /^timeout: /],
    ['has a timeout of 0', source({ timeout: '{ defaultMs: 0 }' }), /^timeout.defaultMs: /],
    ['has a timeout of years', source({ timeout: '{ defaultMs: 1e12 }' }), /^timeout.defaultMs: /],
    [
      'has no schema',
      source({ payload: '{ a: String }' }),
      /^payload: expected a schema of zod 4$/,
    ],
    ['has a payload that is no object', source({ payload: 'z.string()' }), /payload is an object$/],
    ['has a date', source({ payload: 'z.object({ a: z.date() })' }), /Date cannot be repr/],
    ['has a transform', source({ result: 'z.string().transform(Number)' }), /Transforms cannot/],
    ['has a NUL', source({ description: `'\\0'` }), /cannot store$/],
    [
      'has a type that is built in',
      source({ type: `'DELAY'` }),
      /^type DELAY is built in already$/,
    ],
    ['has the type EXEC', source({ type: `'EXEC'` }), /^type EXEC is built in already$/],
    ['has no type', source({ type: 'undefined' }), /^type: /],
    ['has an empty type', source({ type: `''` }), /^type: expected 1 to 64 of/],
    ['has a long type', source({ type: `'A'.repeat(65)` }), /^type: expected 1 to 64 of/],
    ['has a type with a space', source({ type: `'A B'` }), /^type: expected 1 to 64 of/],
    ['has a type of two lines', source({ type: `'A\\n'` }), /^type: expected 1 to 64 of/],
    ['has a type that is no name', source({ type: `"x'; DROP--"` }), /^type: expected 1 to 64 of/],
  ] as const;

  test.for(faulty.map((fault, i) => [fault[0], i] as const))(
    'that %s ends the start, with one line that names it',
    ([, i]) => {
      const { error, message = '' } = refusals[i]!;
      const prefix = `Cannot use ${join(faultyDir, `${i}`, 'bad.ts')}: `;
      expect(error).toBe('ConfigError');
      expect(message).toMatch(/^[^\n]+$/);
      expect(message.slice(0, prefix.length)).toBe(prefix);
      expect(message.slice(prefix.length)).toMatch(faulty[i]![2]);
    },
  );

  let faultyDir: string;
  let refusals: Loaded[];

  beforeAll(async () => {
    faultyDir = await temporaryDirectory();
    const good = source({ type: `'GOOD'` });
    faulty.forEach(([, text], i) =>
      write(faultyDir, { [`${i}/a-good.ts`]: good, [`${i}/bad.ts`]: text }),
    );
    refusals = load(faulty.map((_, i) => join(faultyDir, `${i}`)));
  });

  afterAll(() => rmSync(faultyDir, { recursive: true }));

  test('that is never ready ends the start', () => {
    write(dir(), { 'slow.ts': 'await new Promise(() => {});' });
    expect(load([dir()], { LOAD_MS: '300' })).toMatchObject([
      { message: `Cannot use ${join(dir(), 'slow.ts')}: not loaded after 0.3 s` },
    ]);
  });

  test('that has the type of another one ends the start', () => {
    write(dir(), { 'a.ts': source(), 'b.ts': source() });
    const message = `Cannot use ${join(dir(), 'b.ts')}: type MINE is in a.ts already`;
    expect(load([dir()])).toEqual([{ error: 'ConfigError', message }]);
  });
});
