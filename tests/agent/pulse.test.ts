import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { Pulse } from '../../agent/pulse.ts';

test('it beats when asked, and then in due time by itself', async () => {
  let beats = 0;
  const pulse = new Pulse(() => {
    beats += 1;
    return Promise.resolve();
  });
  pulse.intervalMs = 30;
  await nextTurn();
  expect(beats).toBe(0);
  pulse.now();
  await vi.waitFor(() => expect(beats).toBeGreaterThan(3));
  pulse.stop();
});

test('what asks during a beat gets one more after it, however often it asks', async () => {
  const gate = Promise.withResolvers<void>();
  let beats = 0;
  const pulse = new Pulse(() => {
    beats += 1;
    return gate.promise;
  });
  pulse.now();
  await vi.waitFor(() => expect(beats).toBe(1));
  for (let i = 0; i < 1_000; i += 1) pulse.now();
  await nextTurn();
  expect(beats).toBe(1);
  gate.resolve();
  await vi.waitFor(() => expect(beats).toBe(2));
  pulse.stop();
});

test('however often it is asked it rests between beats', async () => {
  const beatsAtMs: number[] = [];
  const pulse = new Pulse(() => {
    beatsAtMs.push(performance.now());
    return Promise.resolve();
  });
  const asking = setInterval(() => pulse.now(), 1);
  await vi.waitFor(() => expect(beatsAtMs.length).toBeGreaterThan(10), 5_000);
  clearInterval(asking);
  pulse.stop();
  const gapsMs = beatsAtMs.slice(1).map((at, i) => at - beatsAtMs[i]!);
  expect(Math.min(...gapsMs)).toBeGreaterThan(15);
});
