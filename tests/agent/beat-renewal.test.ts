import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BeatRenewal } from '../../agent/beat-renewal.ts';
import type { AttemptKey } from '../../db/agents.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function play() {
  const running: AttemptKey[] = [];
  const beatsAtMs: number[] = [];
  const renewal = new BeatRenewal(
    () => running,
    () => {
      beatsAtMs.push(performance.now());
      renewal.told(running);
    },
  );
  const start = (id: string, attempt = 1) => {
    running.push({ id, attempt });
    renewal.started();
  };
  return { running, beatsAtMs, renewal, start };
}

test('what runs for longer than a moment is told in 50 ms', () => {
  const { beatsAtMs, start } = play();
  const startedAtMs = performance.now();
  start('a');
  vi.advanceTimersByTime(1_000);
  expect(beatsAtMs).toEqual([startedAtMs + 50]);
});

test('what ended by then costs no beat', () => {
  const { running, beatsAtMs, start } = play();
  start('a');
  vi.advanceTimersByTime(40);
  running.pop();
  vi.advanceTimersByTime(1_000);
  expect(beatsAtMs).toEqual([]);
});

test('what a beat has told meanwhile costs no other, but a new attempt of it does', () => {
  const { running, beatsAtMs, renewal, start } = play();
  start('a');
  renewal.told(running);
  vi.advanceTimersByTime(1_000);
  expect(beatsAtMs).toEqual([]);
  running.pop();
  start('a', 2);
  vi.advanceTimersByTime(1_000);
  expect(beatsAtMs).toHaveLength(1);
});

test('however many start, it is a beat in 250 ms, and none when it is over', () => {
  const { beatsAtMs, renewal, start } = play();
  for (let i = 0; i < 1_000; i += 1) {
    start(String(i));
    vi.advanceTimersByTime(1);
  }
  expect(beatsAtMs).toHaveLength(4);
  renewal.close();
  vi.advanceTimersByTime(10_000);
  expect(beatsAtMs).toHaveLength(4);
});
