// The way in for commands: those that arrive while a transaction is in flight share the next one.
//
// Small and large ones go in batches of their own, so that no batch holds more than some megabytes
// and small commands do not wait for large ones.
//
// A COMMIT whose answer got lost may have happened. The ids are drawn here, so the batch can be
// sent once more without storing a command twice; the client, told 503, would submit a second one.

import type pg from 'pg';
import { v7 } from 'uuid';
import { Batcher } from '../db/batcher.ts';
import { type NewCommand, submitCommands, type Submitted } from '../db/commands.ts';
import { isUnavailable } from '../db/errors.ts';

const MAX_SMALL_BYTES = 32 * 1024;
const MAX_SMALL_ITEMS = 200;
const MAX_LARGE_ITEMS = 4;

export class Submissions {
  readonly #small: Batcher<NewCommand, Submitted>;
  readonly #large: Batcher<NewCommand, Submitted>;

  constructor(pool: pg.Pool) {
    const flush = (batch: NewCommand[]) => submitSurely(pool, batch);
    this.#small = new Batcher(flush, { maxItems: MAX_SMALL_ITEMS });
    this.#large = new Batcher(flush, { maxItems: MAX_LARGE_ITEMS });
  }

  /**
   * Submits a command whose JSON takes about `bytes`; answers its id once that is committed.
   *
   * @throws what the database refuses it with, or that it is away.
   */
  async add(command: Omit<NewCommand, 'id'>, bytes: number): Promise<string> {
    const batcher = bytes <= MAX_SMALL_BYTES ? this.#small : this.#large;
    const submitted = await batcher.add({ id: v7(), ...command });
    if ('error' in submitted) throw submitted.error;
    return submitted.id;
  }
}

async function submitSurely(pool: pg.Pool, batch: NewCommand[]): Promise<Submitted[]> {
  try {
    return await submitCommands(pool, batch);
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    return await submitCommands(pool, batch);
  }
}
