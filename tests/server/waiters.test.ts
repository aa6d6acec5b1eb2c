// Who is woken for work, of those that wait for it.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ClaimAnswer } from '../../db/client-claims.ts';
import { Waiter, Waiters } from '../../server/waiters.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function waiterOf(agentId: string): Waiter {
  return new Waiter({ agentId, limit: 1 });
}

function answerOf(answer: ClaimAnswer['answer'], types = ['DELAY']): ClaimAnswer {
  return { answer, session: 'session', queues: ['default'], types, commands: [], more: false };
}

test('a beat stands for open polls until the next one should have come', () => {
  const waiter = waiterOf('a');
  waiter.know(answerOf('claimed'));
  expect(waiter.beats).toBe(false);
  waiter.noteBeat();
  vi.advanceTimersByTime(5_500);
  expect(waiter.beats).toBe(true);
  vi.advanceTimersByTime(1_000);
  expect(waiter.beats).toBe(false);
});

test('of those that may claim the work the one that has waited longest is woken', async () => {
  const waiters = new Waiters();
  const [other, first, second] = [waiterOf('other'), waiterOf('first'), waiterOf('second')];
  other.know(answerOf('claimed', ['HTTP_GET_JSON']));
  first.know(answerOf('claimed'));
  second.know(answerOf('claimed'));
  for (const waiter of [other, first, second]) waiters.enter(waiter);
  const calls = [other, first, second].map((waiter) => waiter.wait());
  waiters.wake('default DELAY', 1);
  await expect(calls[1]).resolves.toBe('work');
  expect([other, first, second].map(({ waits }) => waits)).toEqual([true, false, true]);
});

test('while none of them waits, who looks is to look once more', () => {
  const waiters = new Waiters();
  const looking = waiterOf('looking');
  waiters.enter(looking);
  waiters.wake('default DELAY', 1);
  expect(looking.missed).toBe(true);
});

test('one that drains is woken for no work, and says so once', () => {
  const waiter = waiterOf('a');
  waiter.know(answerOf('claimed'));
  expect(waiter.mayClaim('default DELAY')).toBe(true);
  expect(waiter.know(answerOf('draining'))).toBe(true);
  expect(waiter.mayClaim('default DELAY')).toBe(false);
  expect(waiter.know(answerOf('draining'))).toBe(false);
});
