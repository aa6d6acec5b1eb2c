// Batching without waiting: what arrives while a flush is in flight forms the next flush. An idle
// system pays no delay, a busy one commits once for hundreds of items.

interface Waiting<I, O> {
  item: I;
  resolve: (output: O) => void;
  reject: (error: unknown) => void;
}

/**
 * Gathers items into flushes. `flush` answers one output per item, in order; when it throws, every
 * item of that flush fails with its error. One flush runs at a time.
 */
export class Batcher<I, O> {
  readonly #flush: (items: I[]) => Promise<O[]>;
  readonly #maxItems: number;
  #waiting: Waiting<I, O>[] = [];
  #running = false;

  constructor(flush: (items: I[]) => Promise<O[]>, options: { maxItems: number }) {
    this.#flush = flush;
    this.#maxItems = options.maxItems;
  }

  /** Items that wait or are in flight are not counted here: callers bound what they add. */
  add(item: I): Promise<O> {
    const { promise, resolve, reject } = Promise.withResolvers<O>();
    this.#waiting.push({ item, resolve, reject });
    if (!this.#running) {
      this.#running = true;
      // Items that were added in the same turn of the event loop go together.
      setImmediate(() => void this.#run());
    }
    return promise;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#maxItems);
      try {
        const outputs = await this.#flush(batch.map(({ item }) => item));
        batch.forEach(({ resolve }, i) => resolve(outputs[i] as O));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#running = false;
  }
}
