// What goes into a flush, and when it begins. The flushes end when the test says so.

import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Batcher, type BatcherOptions } from '../../db/batcher.ts';

class Flushes {
  readonly begun: { items: number[]; end: (error?: Error) => void }[] = [];
  readonly answers: Promise<number>[] = [];
  readonly #batcher: Batcher<number, number>;

  constructor(options: BatcherOptions) {
    this.#batcher = new Batcher((items) => {
      const { promise, resolve, reject } = Promise.withResolvers<number[]>();
      const end = (error?: Error) => (error ? reject(error) : resolve(items.map((n) => n * 10)));
      this.begun.push({ items, end });
      return promise;
    }, options);
  }

  /** Items that come in one turn of the event loop, and a turn for what they begin. */
  async add(...items: number[]): Promise<void> {
    this.answers.push(...items.map((item) => this.#batcher.add(item)));
    await turn();
  }

  async end(which: number, error?: Error): Promise<void> {
    this.begun[which]?.end(error);
    await turn();
  }

  get items(): number[][] {
    return this.begun.map(({ items }) => items);
  }
}

test('what comes while a flush is under way forms the next, in order', async () => {
  const flushes = new Flushes({ maxItems: 3 });
  await flushes.add(1, 2);
  await flushes.add(3);
  await flushes.add(4, 5, 6);
  expect(flushes.items).toEqual([[1, 2]]);
  await flushes.end(0);
  expect(flushes.items).toEqual([
    [1, 2],
    [3, 4, 5],
  ]);
  await flushes.end(1);
  await flushes.end(2);
  expect(await Promise.all(flushes.answers)).toEqual([10, 20, 30, 40, 50, 60]);
});

test('a flush that fails fails its items, and nothing else', async () => {
  const flushes = new Flushes({ maxItems: 2 });
  await flushes.add(1, 2, 3);
  const settled = Promise.allSettled(flushes.answers);
  await flushes.end(0, new Error('away'));
  await flushes.end(1);
  const statuses = (await settled).map(({ status }) => status);
  expect(statuses).toEqual(['rejected', 'rejected', 'fulfilled']);
});

test('another flush begins beside one under way when enough items wait for it', async () => {
  const flushes = new Flushes({ maxItems: 10, maxFlushes: 2, worthwhileItems: 3 });
  await flushes.add(1);
  await flushes.add(2, 3);
  expect(flushes.items).toEqual([[1]]);
  await flushes.add(4);
  expect(flushes.items).toEqual([[1], [2, 3, 4]]);
  await flushes.add(5, 6, 7, 8);
  expect(flushes.items).toHaveLength(2);
});

test('whichever flush ends last takes what was not worth one of its own', async () => {
  const flushes = new Flushes({ maxItems: 10, maxFlushes: 2, worthwhileItems: 2 });
  await flushes.add(1);
  await flushes.add(2, 3);
  await flushes.add(4);
  await flushes.end(1);
  expect(flushes.items).toEqual([[1], [2, 3]]);
  await flushes.end(0);
  expect(flushes.items).toEqual([[1], [2, 3], [4]]);
  await flushes.end(2);
  expect(await Promise.all(flushes.answers)).toEqual([10, 20, 30, 40]);
  await flushes.add(5);
  expect(flushes.items).toHaveLength(4);
});
