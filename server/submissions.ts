// The way in for commands: those that arrive while a transaction is in flight share the next one. When many
// wait, that one begins at once: its statement runs while the other's commit waits for the disk.
//
// Small and large ones go in batches of their own, so that no batch holds more than some megabytes
// and small commands do not wait for large ones. So do those with an idempotency key: a key that
// somebody's open transaction holds is waited for, and one that is refused makes its batch be repeated
// one by one. Whatever clients send, that never costs those without a key.
//
// A COMMIT whose answer got lost may have happened. The ids are drawn here, so the batch can be
// sent once more without storing a command twice; the client, told 503, would submit a second one.

import type pg from 'pg';
import { Batcher, type BatcherOptions } from '../db/batcher.ts';
import {
  findBatchId,
  type NewCommand,
  submitCommands,
  type Submitted,
  submitTogether,
} from '../db/commands.ts';
import { CommandRefusedError } from '../db/errors.ts';
import { drawId } from './draw-id.ts';
import { pointerInBatch } from './new-batch.ts';
import type { Submission } from './new-command.ts';
import { refused } from './problem.ts';
import { surely } from './surely.ts';

const MAX_SMALL_BYTES = 32 * 1024;
const MAX_SMALL_ITEMS = 200;
const MAX_LARGE_ITEMS = 4;

/** Of those without a key. One with a key may have to wait, and holds a connection all the while. */
const AT_ONCE = { maxFlushes: 2, worthwhileItems: 20 };

/** `replayed`: its idempotency key stood for this command already, and nothing was submitted. */
export interface Accepted {
  id: string;
  replayed: boolean;
}

export interface AcceptedBatch {
  /** null: these commands were replayed, and came in different batches or in none. */
  batchId: string | null;
  ids: string[];
  /** Whether that is so for all of them. */
  replayed: boolean;
}

export class Submissions {
  readonly #pool: pg.Pool;
  readonly #unkeyed: Batchers;
  readonly #keyed: Batchers;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    this.#unkeyed = batchers(pool, AT_ONCE);
    this.#keyed = batchers(pool);
  }

  /**
   * Submits a command whose JSON takes about `bytes`; answers once that is committed.
   *
   * @throws what the database refuses it with, or that it is away.
   */
  async add(submission: Submission, bytes: number): Promise<Accepted> {
    const { small, large } = submission.idempotencyKey === undefined ? this.#unkeyed : this.#keyed;
    const command = { id: drawId(), ...submission };
    const submitted = await (bytes <= MAX_SMALL_BYTES ? small : large).add(command);
    if ('error' in submitted) throw submitted.error;
    return { id: submitted.id, replayed: submitted.id !== command.id };
  }

  /**
   * Submits a batch, all or nothing; answers once that is committed.
   *
   * @throws Problem 400, 409 or 422 that says which command the database refuses; or that it is away.
   */
  async addBatch(submissions: Submission[]): Promise<AcceptedBatch> {
    const batchId = drawId();
    const batch = submissions.map((submission) => ({ id: drawId(), batchId, ...submission }));
    const ids = await surely(() => submitTogether(this.#pool, batch)).catch((error: unknown) => {
      throw error instanceof CommandRefusedError ? refused(error, locate(batch, error)) : error;
    });
    const replayed = ids.every((id, i) => id !== batch[i]?.id);
    return { batchId: replayed ? await findBatchId(this.#pool, ids) : batchId, ids, replayed };
  }
}

interface Batchers {
  small: Batcher<NewCommand, Submitted>;
  large: Batcher<NewCommand, Submitted>;
}

function batchers(pool: pg.Pool, atOnce: Partial<BatcherOptions> = {}): Batchers {
  const flush = (batch: NewCommand[]) => surely(() => submitCommands(pool, batch));
  return {
    small: new Batcher(flush, { maxItems: MAX_SMALL_ITEMS, ...atOnce }),
    large: new Batcher(flush, { maxItems: MAX_LARGE_ITEMS }),
  };
}

// All that have the refused value: of several with one idempotency key, any may be the one that differs.
function locate(batch: NewCommand[], { member, value, pointer }: CommandRefusedError): string[] {
  const found = batch.flatMap((command, i) =>
    member !== undefined && command[member as keyof NewCommand] === value
      ? [pointerInBatch(i, pointer)]
      : [],
  );
  return found.length > 0 ? found : ['#/commands'];
}
