import { expect, test } from 'vitest';
import { delay } from '../../../agent/executors/delay.ts';
import { executorContext } from '../../support/executor-context.ts';

const DAY_MS = 86_400_000;

test('a delay of 0 ends at once, without a timer', async () => {
  const timersBefore = timers();
  const running = delay.execute({ ms: 0 }, executorContext());
  expect(timers()).toBe(timersBefore);
  expect(await running).toEqual({ ok: true, tookMs: 0 });
});

test('a delay never ends early', async () => {
  const delays = Array.from({ length: 100 }, async (_, index) => {
    const ms = 1 + (index % 25);
    const startedAt = performance.now();
    const { tookMs } = await delay.execute({ ms }, executorContext());
    return { ms, tookMs, measuredMs: performance.now() - startedAt };
  });
  for (const { ms, tookMs, measuredMs } of await Promise.all(delays)) {
    expect(tookMs).toBeGreaterThanOrEqual(ms);
    expect(measuredMs).toBeGreaterThanOrEqual(ms);
  }
});

test('a delay says how long it took, in whole milliseconds', async () => {
  const { tookMs } = await delay.execute({ ms: 20 }, executorContext());
  expect(Number.isInteger(tookMs)).toBe(true);
  expect(tookMs).toBeLessThan(1_000);
});

test('a delay of 7 days does not overrun the timer', async () => {
  const stop = new AbortController();
  const longDelay = delay.execute({ ms: 7 * DAY_MS }, executorContext({ signal: stop.signal }));
  const shortDelay = delay.execute({ ms: 20 }, executorContext());
  // A timer that is too long fires after 1 ms.
  expect(await Promise.race([longDelay, shortDelay])).toBe(await shortDelay);
  stop.abort();
  await expect(longDelay).rejects.toThrow('aborted');
});

test('an abort ends a delay at once and clears its timer', async () => {
  const stop = new AbortController();
  const running = delay.execute({ ms: DAY_MS }, executorContext({ signal: stop.signal }));
  const timersBefore = timers();
  stop.abort(new Error('cancelled'));
  expect(timers()).toBe(timersBefore - 1);
  await expect(running).rejects.toThrow('aborted');
});

test('a delay does not start when it is aborted already', async () => {
  const signal = AbortSignal.abort(new Error('cancelled'));
  await expect(delay.execute({ ms: 0 }, executorContext({ signal }))).rejects.toThrow('cancelled');
});

test.each([
  { ms: -1 },
  { ms: 1.5 },
  { ms: Number.NaN },
  { ms: Infinity },
  { ms: 7 * DAY_MS + 1 },
  { ms: '5' },
  { ms: null },
  { ms: 5, extra: true },
  {},
  null,
  'ms',
])('a payload of %j is refused', (payload) => {
  expect(delay.payload.safeParse(payload).success).toBe(false);
});

test.each([0, 1, 7 * DAY_MS])('a payload of %d ms is accepted', (ms) => {
  expect(delay.payload.safeParse({ ms }).success).toBe(true);
});

test('an attempt may take a minute longer than its delay', () => {
  expect(delay.timeout).toEqual({ defaultMs: 60_000, payloadKey: 'ms' });
});

/** To be compared within one turn of the event loop: the test runner has timers too. */
function timers(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
}
