// How many commands an agent would claim ahead of its slots, by what it saw.

import { beforeEach, expect, test } from 'vitest';
import { Lookahead } from '../../agent/lookahead.ts';

const CONCURRENCY = 4;
let lookahead: Lookahead;

beforeEach(() => {
  lookahead = new Lookahead(CONCURRENCY);
});

function executed(tookMs: number, times = 1): void {
  for (let i = 0; i < times; i += 1) lookahead.executed(tookMs);
}

/** A claim of all that there is room for is answered, but for so many. */
function claim(missing = 0): void {
  const { size } = lookahead;
  lookahead.claimed({ limit: CONCURRENCY + size, ahead: size }, CONCURRENCY + size - missing);
}

function growTo(size: number): void {
  executed(0.1, 10);
  while (lookahead.size < size) claim();
}

test('nothing, before it knows how long commands take', () => {
  claim();
  claim();
  expect(lookahead.size).toBe(0);
});

test('twice as many after each claim that the queue answers in full, within a bound', () => {
  executed(0.1);
  const sizes = Array.from({ length: 9 }, () => {
    claim();
    return lookahead.size;
  });
  expect(sizes).toEqual([4, 8, 16, 32, 64, 128, 256, 400, 400]);
});

test('no more than will begin within 20 ms', () => {
  growTo(400);
  executed(4, 100);
  expect(lookahead.size).toBe(CONCURRENCY * 5);
  executed(15, 100);
  expect(lookahead.size).toBe(CONCURRENCY + 1);
});

test('nothing while commands take longer than 20 ms, and again once they do not', () => {
  growTo(400);
  executed(21, 100);
  expect(lookahead.size).toBe(0);
  executed(0.1, 100);
  expect(lookahead.size).toBe(400);
});

test('nothing for a while after a command that took long', () => {
  growTo(400);
  executed(10_000);
  expect(lookahead.size).toBe(0);
  executed(0.1, 20);
  expect(lookahead.size).toBe(0);
  executed(0.1, 20);
  expect(lookahead.size).toBeGreaterThan(0);
});

test('nothing once the queue has less than was asked for', () => {
  growTo(64);
  claim(65);
  expect(lookahead.size).toBe(0);
  claim();
  expect(lookahead.size).toBe(CONCURRENCY);
});

test('half as many when some began late, once for each claim', () => {
  growTo(64);
  for (let i = 0; i < 30; i += 1) lookahead.began(25);
  claim();
  expect(lookahead.size).toBe(32);
  lookahead.began(19);
  claim();
  expect(lookahead.size).toBe(64);
});

test('nothing when it was misjudged, until the queue proves full again', () => {
  growTo(64);
  lookahead.misjudged();
  expect(lookahead.size).toBe(0);
  claim();
  expect(lookahead.size).toBe(CONCURRENCY);
});

test('more and more seldom where what is claimed may not wait', () => {
  executed(0.1);
  const claimsAhead = Array.from({ length: 100 }, () => {
    const { size } = lookahead;
    claim(size);
    return size > 0;
  });
  expect(claimsAhead.filter(Boolean).length).toBeLessThan(10);
  // One that gets all that it asked for is proof of the contrary.
  while (lookahead.size === 0) claim();
  claim();
  claim(1);
  claim();
  claim();
  expect(lookahead.size).toBeGreaterThan(0);
});
