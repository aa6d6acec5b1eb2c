// The arithmetic of measurements, and the table that they become.

import { expect, test } from 'vitest';
import { growthOf, rateBetween, type Sample } from '../../bench/long-haul/report.ts';
import {
  durationsOf,
  median,
  OURS,
  quantile,
  ratioOf,
  tableOf,
  type Measurement,
} from '../../bench/measurement.ts';

const HUNDRED = Array.from({ length: 100 }, (_, i) => 100 - i);

const measured = (subject: string, values: number[], moreIsBetter = false): Measurement => ({
  what: 'it',
  subject,
  unit: 'ms',
  moreIsBetter,
  values,
});

test('the median of an even number is the mean of the two in the middle', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([30, 10, 20])).toBe(20);
  expect(median([])).toBeNaN();
});

test('a quantile is the smallest value that this share does not exceed', () => {
  expect(quantile(HUNDRED, 0.5)).toBe(50);
  expect(quantile(HUNDRED, 0.99)).toBe(99);
  expect(quantile(HUNDRED, 1)).toBe(100);
  expect(quantile([7], 0.99)).toBe(7);
  expect(quantile([], 0.5)).toBeNaN();
});

test('durations have a measurement for each quantile, with a value for each round', () => {
  expect(durationsOf('it', OURS, [HUNDRED, [1, 2, 3]])).toMatchObject([
    { what: 'it, p50', values: [50, 2] },
    { what: 'it, p99', values: [99, 3] },
    { what: 'it, max', values: [100, 3] },
  ]);
});

test('a ratio above one means that ours is ahead, whether more is better or less', () => {
  expect(ratioOf(measured(OURS, [30], true), measured('peer', [10], true))).toBe(3);
  expect(ratioOf(measured(OURS, [30]), measured('peer', [10]))).toBeCloseTo(1 / 3);
});

test('the table has a line for each subject, with its spread and how ours compares', () => {
  expect(tableOf([measured(OURS, [10, 30, 20]), measured('peer', [1_234.5])])).toEqual([
    'it',
    `  ${OURS.padEnd(36)}      20.0 ms (10.0 to 30.0)`,
    `  ${'peer'.padEnd(36)}     1 235 ms   ours is 61.7 × as good`,
  ]);
});

test('what only ours has is one line, and what was watched has its course below', () => {
  const series = Array.from({ length: 21 }, (_, i): [number, number] => [i, i * 10]);
  expect(tableOf([{ ...measured(OURS, [200]), series }])).toEqual([
    `${'it'.padEnd(64)}       200 ms`,
    '  over time: 0.00, 20.0, 40.0, 60.0, 80.0, 100, 120, 140, 160, 180, 200',
  ]);
});

test('the pace between two counts is reckoned between the samples around them', () => {
  const samples = [
    { atS: 0, done: 0 },
    { atS: 10, done: 100 },
    { atS: 20, done: 400 },
  ] as Sample[];
  expect(rateBetween(samples, 0, 50)).toBe(10);
  expect(rateBetween(samples, 100, 400)).toBe(30);
  expect(rateBetween(samples, 50, 250)).toBe(20);
});

test('on a plateau the last quarter is as large as the one before', () => {
  const series = Array.from({ length: 8 }, (_, i) => i);
  expect(growthOf(series.map((i) => [i, Math.min(i, 3)]))).toBe(1);
  expect(growthOf(series.map((i) => [i, i]))).toBeCloseTo(6.5 / 4.5);
});
