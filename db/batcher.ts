// Batching without waiting: what arrives while a flush is in flight forms the next flush. An idle
// system pays no delay, a busy one commits once for hundreds of items.

interface Waiting<I, O> {
  item: I;
  resolve: (output: O) => void;
  reject: (error: unknown) => void;
}

export interface BatcherOptions {
  /** The most items of one flush. */
  maxItems: number;
  /** The most flushes under way at once; 1 unless said. Then they may end in another order. */
  maxFlushes?: number;
  /** So many items are worth a flush beside others that are under way. */
  worthwhileItems?: number;
}

/**
 * Gathers items into flushes. `flush` answers one output per item, in order; when it throws, every
 * item of that flush fails with its error.
 */
export class Batcher<I, O> {
  readonly #flush: (items: I[]) => Promise<O[]>;
  readonly #maxItems: number;
  readonly #maxFlushes: number;
  readonly #worthwhileItems: number;
  #waiting: Waiting<I, O>[] = [];
  #flushes = 0;

  constructor(flush: (items: I[]) => Promise<O[]>, options: BatcherOptions) {
    this.#flush = flush;
    this.#maxItems = options.maxItems;
    this.#maxFlushes = options.maxFlushes ?? 1;
    this.#worthwhileItems = options.worthwhileItems ?? 1;
  }

  /** Items that wait or are in flight are not counted here: callers bound what they add. */
  add(item: I): Promise<O> {
    const { promise, resolve, reject } = Promise.withResolvers<O>();
    this.#waiting.push({ item, resolve, reject });
    if (this.#flushes < this.#maxFlushes && this.#isDue(this.#flushes)) {
      this.#flushes += 1;
      // Items that were added in the same turn of the event loop go together.
      setImmediate(() => void this.#run());
    }
    return promise;
  }

  // Whoever ends last has no others beside it, and leaves nothing behind.
  async #run(): Promise<void> {
    while (this.#isDue(this.#flushes - 1)) {
      const batch = this.#waiting.splice(0, this.#maxItems);
      try {
        const outputs = await this.#flush(batch.map(({ item }) => item));
        batch.forEach(({ resolve }, i) => resolve(outputs[i] as O));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#flushes -= 1;
  }

  #isDue(others: number): boolean {
    return this.#waiting.length >= (others === 0 ? 1 : this.#worthwhileItems);
  }
}
