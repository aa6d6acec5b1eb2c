// What this project means to reach on a machine of two cores, and whether a run did. Only what was measured is
// looked at; beside several peers of a kind, it is the best of them that counts.

import { format, median, OURS, type Measurement } from './measurement.ts';

interface Target {
  what: string;
  /** Undefined: it was not measured. */
  reached(run: Run): number | undefined;
  least?: number;
  most?: number;
  unit: string;
}

/** A run's medians. */
class Run {
  readonly #measurements: readonly Measurement[];

  constructor(measurements: readonly Measurement[]) {
    this.#measurements = measurements;
  }

  ours(what: string): number | undefined {
    return this.#of(what, OURS)[0];
  }

  /** Ours as a share of the best of those whose name begins so; more is better. */
  beside(what: string, peer: string): number | undefined {
    return over(this.ours(what), Math.max(...this.#of(what, peer)));
  }

  /** The same where less is better: how many times as long as the soonest of all others. */
  besideAll(what: string): number | undefined {
    const others = this.#measurements.filter((one) => one.what === what && one.subject !== OURS);
    return over(this.ours(what), Math.min(...others.map(({ values }) => median(values))));
  }

  #of(what: string, subject: string): number[] {
    return this.#measurements
      .filter((one) => one.what === what && one.subject.startsWith(subject))
      .map(({ values }) => median(values));
  }
}

const AT = (concurrency: number) => `throughput, 1 process, concurrency ${concurrency}`;
const IDLE = 'latency, submit to start, idle';
const CLAIM = (waiting: string) => `claim of 10, ${waiting} waiting, 300,000 deferred, p50`;

const throughputBeside = (concurrency: number, peer: string, least: number): Target => ({
  what: `${AT(concurrency)}, beside ${peer}`,
  reached: (run) => run.beside(AT(concurrency), peer),
  least,
  unit: '×',
});

const atMost = (what: string, most: number, unit: string): Target => ({
  what,
  reached: (run) => run.ours(what),
  most,
  unit,
});

const TARGETS: Target[] = [
  throughputBeside(100, 'pg-boss', 1.5),
  throughputBeside(100, 'graphile-worker, local queue', 0.8),
  throughputBeside(100, 'bare SQL', 0.7),
  ...[1, 10].flatMap((concurrency) => [
    throughputBeside(concurrency, 'pg-boss', 1),
    throughputBeside(concurrency, 'graphile-worker, plain', 1),
  ]),
  {
    what: 'REST, 100 connections, beside a route that only parses',
    reached: (run) => run.beside('REST, one command a request, 100 connections', 'a route'),
    least: 0.6,
    unit: '×',
  },
  {
    what: 'REST, 1000 commands a request',
    reached: (run) => run.ours('REST, 1000 commands a request, 4 connections'),
    least: 25_000,
    unit: 'commands/s',
  },
  atMost(`${IDLE}, p50`, 2.5, 'ms'),
  atMost(`${IDLE}, p99`, 10, 'ms'),
  {
    what: `${IDLE}, p50, beside the soonest peer`,
    reached: (run) => run.besideAll(`${IDLE}, p50`),
    most: 1,
    unit: '×',
  },
  {
    what: 'claim at 5,000,000 waiting, beside 1,000',
    reached: (run) => over(run.ours(CLAIM('5,000,000')), run.ours(CLAIM('1,000'))),
    most: 1.3,
    unit: '×',
  },
  atMost('deferred, from its time to its start, p99', 50, 'ms'),
  atMost('SIGKILL until its commands run on another agent, p99', 3_000, 'ms'),
  atMost('idle, 10 agents over Postgres, statements', 15, '/min an agent'),
  atMost('idle, 10 agents over HTTP, statements', 15, '/min an agent'),
  atMost('1000 agents over HTTP, CPU of the server while idle', 5, '% of a core'),
  {
    what: 'long haul, throughput, last beside first',
    reached: (run) => run.ours('long haul, throughput, last beside first'),
    least: 0.9,
    unit: '×',
  },
];

/** A line for each target of which there is a figure. */
export function targetsOf(measurements: readonly Measurement[]): string[] {
  const run = new Run(measurements);
  return TARGETS.flatMap((target) => {
    const { what, least, most, unit } = target;
    const reached = target.reached(run);
    if (reached === undefined) return [];
    const isMet = reached >= (least ?? -Infinity) && reached <= (most ?? Infinity);
    const wanted = least === undefined ? `at most ${most}` : `at least ${least}`;
    return [`${isMet ? 'met   ' : 'MISSED'} ${what}: ${format(reached)} ${unit}, ${wanted}`];
  });
}

function over(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined || !Number.isFinite(other)) return undefined;
  return one / other;
}
