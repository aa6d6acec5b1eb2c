// What benches answer, and the table that it becomes: one line a subject, with the ratio of ours to it.

export interface Measurement {
  /** What was measured, such as `throughput, 1 process, concurrency 100`. */
  what: string;
  /** Who: `agent-executor`, or a peer. */
  subject: string;
  unit: string;
  /** Whether more is better; less is, unless said. */
  moreIsBetter?: boolean;
  /** One a round. */
  values: number[];
  /** Where it was watched for long: seconds since the beginning, and the value then. */
  series?: [atS: number, value: number][];
}

export const OURS = 'agent-executor';

/** The quantiles of durations that are worth a line. */
const QUANTILES = { p50: 0.5, p99: 0.99, max: 1 };
/** How many steps of what was watched are in the table. */
const STEPS = 10;

export type Quantile = keyof typeof QUANTILES;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** The smallest of them that at least this share of them does not exceed (nearest rank). */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}

/** A measurement for each quantile of durations in ms, with a value for each round. */
export function durationsOf(
  what: string,
  subject: string,
  rounds: readonly (readonly number[])[],
  quantiles: Quantile[] = ['p50', 'p99', 'max'],
): Measurement[] {
  return quantiles.map((name) => ({
    what: `${what}, ${name}`,
    subject,
    unit: 'ms',
    values: rounds.map((durationsMs) => quantile(durationsMs, QUANTILES[name])),
  }));
}

/** Lines of a table: every measurement with its median, its spread and how ours compares. */
export function tableOf(measurements: readonly Measurement[]): string[] {
  const lines: string[] = [];
  for (const [what, group] of Map.groupBy(measurements, (one) => one.what)) {
    const [only] = group;
    if (only && group.length === 1 && only.subject === OURS) {
      lines.push(`${what.padEnd(64)} ${figure(only)}`, ...courseOf(only));
      continue;
    }
    const ours = group.find(({ subject }) => subject === OURS);
    lines.push(what);
    for (const one of group) lines.push(`  ${lineOf(one, ours)}`);
  }
  return lines;
}

/** How many times as good as the other's ours is: above 1, ours is ahead. */
export function ratioOf(ours: Measurement, other: Measurement): number {
  const ratio = median(ours.values) / median(other.values);
  return other.moreIsBetter ? ratio : 1 / ratio;
}

function lineOf(one: Measurement, ours: Measurement | undefined): string {
  const ratio = ours && ours !== one ? `   ours is ${format(ratioOf(ours, one))} × as good` : '';
  return `${one.subject.padEnd(36)} ${figure(one)}${ratio}`;
}

/** Its values over time, from the beginning to the end. */
function courseOf({ series }: Measurement): string[] {
  if (!series) return [];
  const at = (step: number) => series[Math.round((step / STEPS) * (series.length - 1))]?.[1] ?? NaN;
  const values = Array.from({ length: STEPS + 1 }, (_, step) => format(at(step)));
  return [`  over time: ${values.join(', ')}`];
}

function figure({ values, unit }: Measurement): string {
  const spread =
    values.length > 1 ? ` (${format(Math.min(...values))} to ${format(Math.max(...values))})` : '';
  return `${format(median(values)).padStart(9)} ${unit}${spread}`.trimEnd();
}

/** Three digits, or all of a whole number's. */
export function format(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US').replaceAll(',', ' ');
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
