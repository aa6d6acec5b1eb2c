// Whether a command can be taken in: there is such a type, its schema allows the payload, and there is
// such a queue. Answered from memory; the database has the last word.

import { readCommandTypes } from '../db/command-types.ts';
import { readQueues } from '../db/commands.ts';
import type { Database } from '../db/connect.ts';
import type { Logger } from '../runtime/log.ts';
import type { Submission } from './new-command.ts';
import { Payloads } from './payloads.ts';
import { Queues } from './queues.ts';

export class Admission {
  readonly #payloads: Payloads;
  readonly #queues: Queues;

  constructor({ pool, kysely }: Database, log: Logger) {
    this.#payloads = new Payloads(() => readCommandTypes(kysely), log);
    this.#queues = new Queues(() => readQueues(pool));
  }

  /** Whether all that this needs is known already: then there is no need to `look`. */
  knows({ type, queue }: Submission): boolean {
    return this.#payloads.knows(type) && (queue === undefined || this.#queues.knows(queue));
  }

  /** Makes sure that what these need is known, if there is such a thing. */
  async look(submissions: Submission[]): Promise<void> {
    const types = new Set<string>();
    const queues = new Set<string>();
    for (const { type, queue } of submissions) {
      types.add(type);
      if (queue !== undefined) queues.add(queue);
    }
    await this.#payloads.look(types);
    await this.#queues.look(queues);
  }

  /**
   * To be called after `look`, or where it `knows`.
   *
   * @throws Problem 400, with pointers into the command.
   */
  assertAdmitted({ type, payload, queue }: Submission): void {
    this.#payloads.assertValid(type, payload);
    if (queue !== undefined) this.#queues.assertKnown(queue);
  }
}
