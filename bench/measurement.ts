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
}

export const OURS = 'agent-executor';

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** The value below which a share of them lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** Lines of a table: every measurement with its median, its spread and how ours compares. */
export function tableOf(measurements: readonly Measurement[]): string[] {
  const lines: string[] = [];
  for (const [what, group] of Map.groupBy(measurements, (one) => one.what)) {
    const ours = group.find(({ subject }) => subject === OURS);
    lines.push(what);
    for (const one of group) lines.push(`  ${lineOf(one, ours)}`);
  }
  return lines;
}

function lineOf(one: Measurement, ours: Measurement | undefined): string {
  const { subject, unit, values } = one;
  const spread =
    values.length > 1 ? ` (${format(Math.min(...values))} to ${format(Math.max(...values))})` : '';
  const ratio =
    ours && ours !== one ? `   ours is ${format(median(ours.values) / median(values))} ×` : '';
  return `${subject.padEnd(36)} ${format(median(values)).padStart(9)} ${unit}${spread}${ratio}`;
}

function format(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US').replaceAll(',', ' ');
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
