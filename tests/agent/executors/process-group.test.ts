// Whatever a program starts ends with it: when it is aborted, and when it is done.

import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { script, transcript } from '../../support/exec.ts';
import { useDirectory } from '../../support/executor-files.ts';
import { expectGone, membersOf } from '../../support/process-groups.ts';

const dir = useDirectory();

/** A family of three that would stay for ever. It says its group, which is its first process's id. */
const FAMILY = 'sleep 100000 & (sleep 100000; true) & echo $$; ';

describe('an abort', () => {
  test('ends all that the program started', async () => {
    const { running, stop, group } = await start(`${FAMILY} wait`);
    expect(membersOf(group).length).toBeGreaterThanOrEqual(4);
    stop.abort(new Error('timed_out'));
    await expect(running).rejects.toThrow('timed_out');
    await expectGone(group);
  });

  test('lets a program tidy up', async () => {
    const { running, stop, lines } = await start(`trap 'echo tidied; exit 0' TERM; ${FAMILY} wait`);
    stop.abort(new Error('cancelled'));
    await expect(running).rejects.toThrow('cancelled');
    expect(lines.at(-1)).toBe('tidied');
  });

  test('lets what the program started tidy up', async () => {
    const { running, stop, lines } = await start(
      `(trap 'echo tidied; exit 0' TERM; echo $$; sleep 100000 & wait) & trap : TERM; wait; wait`,
    );
    stop.abort(new Error('cancelled'));
    await expect(running).rejects.toThrow('cancelled');
    expect(lines.at(-1)).toBe('tidied');
  });

  test('kills what does not listen, 2 s later', async () => {
    const { running, stop, group } = await start(`trap '' TERM; ${FAMILY} wait`);
    const abortedAt = performance.now();
    stop.abort(new Error('revoked'));
    await expect(running).rejects.toThrow('revoked');
    expect(performance.now() - abortedAt).toBeGreaterThan(1_900);
    await expectGone(group);
  });

  test('kills the children of a program that does listen', async () => {
    const { running, stop, group } = await start(
      `(trap '' TERM; ${FAMILY} wait) & trap 'exit 0' TERM; echo $$; wait`,
    );
    stop.abort(new Error('released'));
    await expect(running).rejects.toThrow('released');
    await expectGone(group);
  });

  test('ends a program that was stopped', async () => {
    const { running, stop, group } = await start('echo $$; kill -STOP $$');
    stop.abort(new Error('cancelled'));
    await expect(running).rejects.toThrow('cancelled');
    await expectGone(group);
  });

  test('before the start starts nothing', async () => {
    const { lines, print } = transcript();
    const signal = AbortSignal.abort(new Error('cancelled'));
    await expect(script('echo started', {}, { signal, print })).rejects.toThrow('cancelled');
    expect(lines).toEqual([]);
  });

  test('leaves no listener behind, nor does an end', async () => {
    const stop = new AbortController();
    const add = vi.spyOn(stop.signal, 'addEventListener');
    const remove = vi.spyOn(stop.signal, 'removeEventListener');
    await script('exit 0', {}, { signal: stop.signal });
    expect(remove.mock.calls.length).toBe(add.mock.calls.length);
  });
});

describe('a program that ends', () => {
  test('and leaves others that hold its output is answered all the same', async () => {
    const startedAt = performance.now();
    const { stdout } = await script(`${FAMILY} echo done`);
    expect(stdout).toMatch(/^\d+\ndone\n$/);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    await expectGone(Number.parseInt(stdout, 10));
  });

  test('and leaves others that do not hold it takes them with it', async () => {
    const { stdout } = await script('sleep 100000 >/dev/null 2>&1 & echo $$');
    await expectGone(Number(stdout));
  });

  test('is answered though what left its group holds its output', async () => {
    const file = join(dir(), 'escaped');
    const escape = `setsid sh -c 'echo $$ > ${file}; exec sleep 100000'`;
    const { stdout } = await script(`${escape} & until [ -s ${file} ]; do :; done; cat ${file}`);
    const escaped = Number(stdout);
    // It is nobody's but ours to end.
    expect(membersOf(escaped)).toEqual([escaped]);
    process.kill(escaped, 'SIGKILL');
  });

  test('has all of its output read', async () => {
    const { stdout } = await script('seq 1 10000; (seq 10001 11000 &)', { maxOutputBytes: 6 });
    expect(stdout).toBe('11000\n');
  });
});

test('many at once are each answered with their own', async () => {
  const answers = await Promise.all(
    Array.from({ length: 40 }, async (_, i) => (await script(`cat`, { stdin: `${i}` })).stdout),
  );
  expect(answers).toEqual(Array.from({ length: 40 }, (_, i) => `${i}`));
});

async function start(text: string) {
  const stop = new AbortController();
  const { lines, print } = transcript();
  const running = script(text, {}, { signal: stop.signal, print });
  // It is awaited later.
  running.catch(() => {});
  await vi.waitFor(() => expect(lines.length).toBeGreaterThan(0), { timeout: 5_000 });
  return { running, stop, lines, group: groupOf(lines) };
}

/** A subshell's `$$` is the whole shell's. */
function groupOf(lines: string[]): number {
  return Number(lines[0]);
}
