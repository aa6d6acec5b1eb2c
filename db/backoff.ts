const FIRST_MS = 100;
const MOST_MS = 2_000;

/**
 * How long to wait before try `failures` + 1: exponential with full jitter, so that many processes
 * that lost one database do not return to it at the same moment.
 */
export function jitteredBackoffMs(failures: number): number {
  return Math.random() * Math.min(MOST_MS, FIRST_MS * 2 ** failures);
}
