// What samples over time come to: throughput at the beginning and in the end, and each size, with how much it
// still grew.

import { OURS, type Measurement } from '../measurement.ts';
import type { Sizes } from './sample.ts';

export interface Sample extends Sizes {
  /** Seconds since the beginning. */
  atS: number;
  /** Commands done by then. */
  done: number;
}

export function reportOf(what: string, samples: readonly Sample[]): Measurement[] {
  const one = (name: string, unit: string, value: number): Measurement => ({
    what: `${what}, ${name}`,
    subject: OURS,
    unit,
    values: [value],
  });
  const total = samples.at(-1)?.done ?? 0;
  const first = rateBetween(samples, 0, total * 0.1);
  const last = rateBetween(samples, total * 0.9, total);
  return [
    { ...one('throughput, first 10 %', 'commands/s', first), moreIsBetter: true },
    {
      ...one('throughput, last 10 %', 'commands/s', last),
      moreIsBetter: true,
      series: samples.map(({ atS }, i) => [atS, rateAt(samples, i)]),
    },
    { ...one('throughput, last beside first', '×', last / first), moreIsBetter: true },
    ...namesIn(samples).flatMap((name) => {
      const unit = name.endsWith('rows') ? 'rows' : 'MB';
      const series = samples.map((sample): [number, number] => [sample.atS, sample[name]]);
      const largest = Math.max(...series.map(([, value]) => value));
      return [
        { ...one(name, `${unit} at most`, largest), series },
        one(`${name}, last quarter beside the one before`, '×', growthOf(series)),
      ];
    }),
  ];
}

/** Commands a second while the number of those done rose from one to the other. */
export function rateBetween(samples: readonly Sample[], from: number, to: number): number {
  return (to - from) / (timeOf(samples, to) - timeOf(samples, from));
}

/** When so many were done, between the samples before and after. */
function timeOf(samples: readonly Sample[], done: number): number {
  const after = samples.findIndex((sample) => sample.done >= done);
  const [a, b] = [samples[after - 1], samples[after]];
  if (!b) return NaN;
  if (!a) return b.atS;
  return a.atS + ((done - a.done) / (b.done - a.done)) * (b.atS - a.atS);
}

function rateAt(samples: readonly Sample[], i: number): number {
  const [a, b] = [samples[i - 1], samples[i]];
  return a && b ? (b.done - a.done) / (b.atS - a.atS) : 0;
}

/** How the mean of the last quarter compares to that of the third: 1 on a plateau. */
export function growthOf(series: readonly (readonly [number, number])[]): number {
  const mean = (from: number, to: number) => {
    const part = series.slice(Math.floor(series.length * from), Math.floor(series.length * to));
    return part.reduce((sum, [, value]) => sum + value, 0) / part.length;
  };
  return mean(0.75, 1) / mean(0.5, 0.75);
}

function namesIn([sample]: readonly Sample[]): (keyof Sizes)[] {
  const names = Object.keys(sample ?? {}) as (keyof Sample)[];
  return names.filter((name): name is keyof Sizes => name !== 'atS' && name !== 'done');
}
