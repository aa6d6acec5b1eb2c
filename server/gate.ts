// Lets a few do heavy work at once, lets a bounded number wait, and turns the others away.

import { Problem } from './problem.ts';

const RETRY_AFTER_SECONDS = '1';

export class Gate {
  readonly #maxInside: number;
  readonly #maxAtWork: number;
  #inside = 0;
  #atWork = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(options: { maxInside: number; maxAtWork: number }) {
    this.#maxInside = options.maxInside;
    this.#maxAtWork = options.maxAtWork;
  }

  /** @throws Problem 503 when too many are inside. */
  async enter<T>(visit: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#maxInside) throw busy();
    this.#inside += 1;
    try {
      return await visit();
    } finally {
      this.#inside -= 1;
    }
  }

  /** Waits for its turn; first come, first served. Only for those who are inside. */
  async work<T>(work: () => Promise<T>): Promise<T> {
    if (this.#atWork < this.#maxAtWork) this.#atWork += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      // The place goes from hand to hand: nobody who comes now gets it first.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#atWork -= 1;
    }
  }
}

function busy(): Problem {
  const detail = 'Too many batches are on their way; try again in a moment.';
  return new Problem(503, 'too_many_batches', detail, {
    headers: { 'Retry-After': RETRY_AFTER_SECONDS },
  });
}
