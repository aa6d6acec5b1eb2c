// The example, as the agent runs it. That it is loaded from anywhere is tested in ../custom-executors.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { defineExecutor } from '../../../agent/executors/executor.ts';
import { createRegistry } from '../../../agent/executors/registry.ts';
import { runExecutor } from '../../../agent/executors/run.ts';
import makeWordCount from '../../../examples/executors/word-count.ts';
import { executorContext } from '../../support/executor-context.ts';
import { useDirectory } from '../../support/executor-files.ts';

const dir = useDirectory();
const wordCount = makeWordCount({ defineExecutor, z });

test.each(['', 'one', ' one two\nthree\tfour\n\n  fünf \n', 'a b\n'.repeat(100_000)])(
  'it counts as wc does',
  async (text) => {
    const outcome = await count(text);
    const printed = execFileSync('wc', { input: text, env: { LC_ALL: 'C' }, encoding: 'utf8' });
    const [lines, words, bytes] = printed.trim().split(/\s+/).map(Number);
    expect(outcome).toEqual({ outcome: 'completed', result: { lines, words, bytes } });
  },
);

test('it says how far it is', async () => {
  const shares: number[] = [];
  await count('word '.repeat(100_000), { progress: (share) => void shares.push(share) });
  expect(shares.length).toBeGreaterThan(1);
  expect(shares).toEqual(shares.toSorted((a, b) => a - b));
  expect(shares.at(-1)).toBe(1);
});

test('it prints what it found', async () => {
  const lines: string[] = [];
  await count('one two', { print: (line) => void lines.push(line) });
  expect(lines).toEqual([`${join(dir(), 'text')}: 2 words`]);
});

test('an abort ends it in the middle', async () => {
  const stop = new AbortController();
  const outcome = await count('word '.repeat(1_000_000), {
    signal: stop.signal,
    progress: () => stop.abort(new Error('cancelled')),
  });
  expect(outcome).toMatchObject({
    outcome: 'failed',
    error: { message: expect.stringMatching(/aborted|cancelled/) as string },
  });
});

test('a file that is not there fails for good', async () => {
  const outcome = await run({ path: join(dir(), 'missing') });
  const message = expect.stringMatching(/ENOENT/) as string;
  expect(outcome).toMatchObject({ outcome: 'failed', error: { message, retryable: false } });
});

async function count(text: string, context: Parameters<typeof executorContext>[0] = {}) {
  writeFileSync(join(dir(), 'text'), text);
  return await run({ path: join(dir(), 'text') }, context);
}

function run(payload: object, context: Parameters<typeof executorContext>[0] = {}) {
  const registry = createRegistry([wordCount]);
  return runExecutor(registry, { type: 'WORD_COUNT', payload }, executorContext(context));
}
