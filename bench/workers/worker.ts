// What the worker processes of peers have in common: where their database is, how much they do at once,
// and when they began.

export const url = required('DATABASE_URL');
export const concurrency = Number(required('CONCURRENCY'));
/** Whatever else a worker knows: see ../peers/. */
export const mode = process.env['MODE'] ?? '';

let firstAtMs: number | undefined;
let lastAtMs: number | undefined;
const probes: [id: string, beganAtMs: number][] = [];

/** To be called at the start of every job; a probe's start is kept, under its id. */
export function begin(probe?: string): void {
  firstAtMs ??= now();
  if (probe !== undefined) probes.push([probe, now()]);
}

/** To be called when a job is done for good, as far as the worker knows. */
export function end(): void {
  lastAtMs = now();
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

// Asked once all is done; who began nothing has nothing to say.
process.on('message', () => process.send?.({ firstAtMs, lastAtMs, probes }));

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

// The bench is gone: so is its database.
process.on('disconnect', () => process.exit(0));
