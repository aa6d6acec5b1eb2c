// Whether a run reached its targets.

import { expect, test } from 'vitest';
import { OURS, type Measurement } from '../../bench/measurement.ts';
import { targetsOf } from '../../bench/targets.ts';

const AT_100 = 'throughput, 1 process, concurrency 100';

test('beside several peers of a kind it is the best that counts', () => {
  expect(
    targetsOf([
      measured(AT_100, OURS, 12_000),
      measured(AT_100, 'pg-boss, batches of 100', 6_000),
      measured(AT_100, 'pg-boss, two batches of 500', 10_000),
      measured(AT_100, 'bare SQL in a loop', 16_000),
    ]),
  ).toEqual([
    `MISSED ${AT_100}, beside pg-boss: 1.20 ×, at least 1.5`,
    `met    ${AT_100}, beside bare SQL: 0.75 ×, at least 0.7`,
  ]);
});

test('where less is better, more is a miss', () => {
  const what = 'latency, submit to start, idle, p50';
  expect(
    targetsOf([
      measured(what, OURS, 3),
      measured(what, 'pg-boss, LISTEN/NOTIFY', 6),
      measured(what, 'graphile-worker, plain', 4),
    ]),
  ).toEqual([
    `MISSED ${what}: 3.00 ms, at most 2.5`,
    `met    ${what}, beside the soonest peer: 0.75 ×, at most 1`,
  ]);
});

test('what was not measured has no line', () => {
  expect(targetsOf([])).toEqual([]);
});

function measured(what: string, subject: string, value: number): Measurement {
  return { what, subject, unit: '', values: [value] };
}
