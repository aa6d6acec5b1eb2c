import { expect, test } from 'vitest';
import { CancelRelay } from '../../agent/cancel-relay.ts';

function createRelay() {
  const told: string[][] = [];
  let dropped = 0;
  const relay = new CancelRelay({
    tell: (ids) => void told.push(ids),
    onDropped: () => (dropped += 1),
  });
  return { relay, told, dropped: () => dropped };
}

test('what comes while the main thread is busy is one message, each id once', () => {
  const { relay, told } = createRelay();
  for (const id of ['a', 'b', 'c', 'b']) relay.pass([id]);
  expect(told).toEqual([['a']]);
  relay.heard();
  expect(told).toEqual([['a'], ['b', 'c']]);
  relay.heard();
  relay.pass(['d']);
  expect(told).toEqual([['a'], ['b', 'c'], ['d']]);
});

test('nothing is told where there is nothing to tell', () => {
  const { relay, told } = createRelay();
  relay.pass([]);
  relay.heard();
  expect(told).toEqual([]);
});

test('of too many the rest is dropped, and asked for once the main thread listens', () => {
  const { relay, told, dropped } = createRelay();
  for (let i = 0; i < 5_000; i += 1) relay.pass([String(i)]);
  expect(dropped()).toBe(0);
  relay.heard();
  expect(told.map(({ length }) => length)).toEqual([1, 1_000]);
  expect(dropped()).toBe(1);
  relay.heard();
  expect(dropped()).toBe(1);
});
