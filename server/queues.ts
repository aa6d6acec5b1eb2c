// Knows which queues there are, without a query a request.
//
// A queue that is unknown may have been created a moment ago: then they are read again, once for all who
// wait. One that was dropped meanwhile is refused by the database.

import { Batcher } from '../db/batcher.ts';
import { type Fault, Problem } from './problem.ts';

const MAX_WAITING = 10_000;
const MAX_SHOWN_LENGTH = 64;

export class Queues {
  readonly #reads: Batcher<string, string>;
  #known = new Set<string>();

  constructor(readQueues: () => Promise<string[]>) {
    this.#reads = new Batcher(
      async (asked) => {
        this.#known = new Set(await readQueues());
        return asked;
      },
      { maxItems: MAX_WAITING },
    );
  }

  knows(queue: string): boolean {
    return this.#known.has(queue);
  }

  /** Looks again if one of these is not known. */
  async look(queues: Iterable<string>): Promise<void> {
    const unknown = Array.from(queues).filter((queue) => !this.knows(queue));
    if (unknown.length > 0) await Promise.all(unknown.map((queue) => this.#reads.add(queue)));
  }

  /** @throws Problem 400. To be called after `look`. */
  assertKnown(queue: string): void {
    if (this.knows(queue)) return;
    const detail = `There is no queue ${JSON.stringify(queue.slice(0, MAX_SHOWN_LENGTH))}.`;
    const errors: Fault[] = [{ pointer: '#/queue', detail }];
    throw new Problem(400, 'unknown_queue', detail, { errors });
  }
}
