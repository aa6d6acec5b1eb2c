// Which measurements become which pictures.

import type { BarChart } from './bar-chart.ts';
import type { LineChart } from './line-chart.ts';
import { median, OURS, type Measurement } from './measurement.ts';

interface Plan {
  /** The bench whose result it is drawn of, and the name of the picture's file. */
  bench: string;
  file: string;
  title: string;
  note: string;
  /** Whether it is in the picture, and under which heading: undefined if not. */
  groupOf(what: string): string | undefined;
}

const startingWith = (prefix: string) => (what: string) =>
  what.startsWith(prefix) ? what.slice(prefix.length) : undefined;

export const PLANS: Plan[] = [
  {
    bench: 'throughput',
    file: 'throughput',
    title: 'Throughput of jobs that do nothing',
    note: 'jobs a second, more is better',
    groupOf: startingWith('throughput, '),
  },
  {
    bench: 'submission',
    file: 'submission',
    title: 'Submission',
    note: 'commands a second, more is better',
    groupOf: (what) => what,
  },
  {
    bench: 'latency',
    file: 'latency',
    title: 'From submission to start',
    note: 'ms, less is better',
    groupOf: (what) =>
      what.endsWith(', max') ? undefined : startingWith('latency, submit to start, ')(what),
  },
  {
    bench: 'backlog',
    file: 'backlog',
    title: 'What a claim of ten jobs costs',
    note: 'ms, median, less is better',
    groupOf: (what) =>
      what.endsWith(', p50')
        ? startingWith('claim of 10, ')(what.slice(0, -', p50'.length))
        : undefined,
  },
];

/** The picture of a result's measurements; undefined when nothing of them belongs in it. */
export function chartOf(plan: Plan, measurements: readonly Measurement[]): BarChart | undefined {
  const groups = [...Map.groupBy(measurements, ({ what }) => plan.groupOf(what))].flatMap(
    ([label, ones]) => (label === undefined ? [] : [{ label, rows: ones.map(rowOf) }]),
  );
  return groups.length > 0 ? { title: plan.title, note: plan.note, groups } : undefined;
}

function rowOf({ subject, unit, values }: Measurement) {
  return { label: subject, value: median(values), unit, isOurs: subject === OURS };
}

/** The two runs of the long haul, as their names begin. */
const PLAIN = 'long haul, ';
const PINNED = 'long haul, horizon pinned, ';

/** The courses of the long haul; undefined when there are none. */
export function longHaulChart(measurements: readonly Measurement[]): LineChart | undefined {
  const watched = measurements.filter(({ series }) => series);
  const panels = watched
    .filter(({ what }) => !what.startsWith(PINNED))
    .map(({ what, unit, series = [] }) => {
      const name = what.slice(PLAIN.length);
      const other = watched.find((one) => one.what === PINNED + name);
      return {
        label: name.replace(/, last 10 %$/, ''),
        unit: unit.replace(' at most', ''),
        lines: [
          { label: 'ordinary', points: series },
          { label: 'vacuum held back for two minutes', points: other?.series ?? [] },
        ],
      };
    });
  return panels.length > 0
    ? {
        title: 'Two million commands through a bounded ledger',
        note: 'over time; grey: while vacuum was held back for two minutes',
        panels,
      }
    : undefined;
}
