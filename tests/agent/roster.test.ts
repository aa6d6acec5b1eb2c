// Which attempts an agent owns, and that those it no longer owns are let go of.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import pino from 'pino';
import { expect, test } from 'vitest';
import { Attempt } from '../../agent/attempt.ts';
import { Roster } from '../../agent/roster.ts';
import { Transcript } from '../../agent/transcript.ts';

const log = pino({ level: 'silent' });

function attemptOf(id: string, attempt = 1, payload: Record<string, unknown> = {}): Attempt {
  const transcript = new Transcript({ id, attempt }, { characters: 0 }, () => {});
  const limits = { timeoutMs: 1_000, cancelRequested: false };
  return new Attempt({ id, type: 'NOOP', payload, attempt, ...limits }, transcript, log);
}

test('has the newest attempt of each command, in the order in which the commands came', () => {
  const roster = new Roster();
  const [a, b, c] = ['a', 'b', 'c'].map((id) => attemptOf(id));
  for (const attempt of [a!, b!, c!]) roster.add(attempt);
  const newer = attemptOf('a', 2);
  roster.add(newer);
  expect(roster.size).toBe(3);
  expect(roster.get('a')).toBe(newer);
  expect(roster.all()).toEqual([newer, b, c]);
});

test('what is removed is gone, and its place free for another', () => {
  const roster = new Roster();
  const [a, b, c] = ['a', 'b', 'c'].map((id) => attemptOf(id));
  roster.add(a!);
  roster.add(b!);
  roster.remove(a!);
  expect(roster.get('a')).toBeUndefined();
  roster.add(c!);
  expect(roster.all()).toEqual([b, c]);
  expect(roster.get('b')).toBe(b);
});

test('an older attempt is not removed in place of the newer one', () => {
  const roster = new Roster();
  const older = attemptOf('a');
  const newer = attemptOf('a', 2);
  roster.add(older);
  roster.add(newer);
  roster.remove(older);
  roster.remove(attemptOf('b'));
  expect(roster.all()).toEqual([newer]);
});

test('what has passed through is not kept until the next full collection', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void;
  const roster = new Roster();
  const owned: Attempt[] = [];
  const pass = (count: number) => {
    for (let i = 0; i < count; i += 1) {
      const attempt = attemptOf(`${Math.random()}`, 1, { numbers: Array.from({ length: 500 }) });
      roster.add(attempt);
      owned.push(attempt);
      if (owned.length > 300) roster.remove(owned.shift()!);
    }
  };
  pass(1_000);
  // All that is there is old now.
  collect();
  const beforeBytes = process.memoryUsage().heapUsed;
  for (let round = 0; round < 10; round += 1) {
    pass(1_000);
    collect({ type: 'minor' });
  }
  // 300 attempts of 5 kB are owned, and those that were as it began may be there yet; 10,000 have passed.
  expect(process.memoryUsage().heapUsed - beforeBytes).toBeLessThan(10_000_000);
});
