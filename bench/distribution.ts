/** Median, 90th and 99th percentile and maximum of durations in ms, in one line. */
export function distribution(durationsMs: number[]): string {
  const sorted = durationsMs.toSorted((a, b) => a - b);
  const at = (share: number) => {
    const index = Math.min(sorted.length - 1, Math.floor(sorted.length * share));
    return (sorted[index] ?? NaN).toFixed(2);
  };
  return `p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms (n = ${sorted.length})`;
}

/** How long it takes, in ms. */
export async function timed(run: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await run();
  return performance.now() - startedAt;
}
