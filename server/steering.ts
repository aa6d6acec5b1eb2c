// Cancelling and retrying, so that a COMMIT whose answer got lost does no harm: the call is repeated once,
// and the repetition finds what the first call did. A client, told 503, could not tell.

import type pg from 'pg';
import { v7 } from 'uuid';
import {
  type CancelAnswer,
  cancelCommands,
  findCancelled,
  type Retried,
  retryCommands,
} from '../db/steering.ts';
import { surely } from './surely.ts';

/** So many commands are steered in one transaction. */
export const MAX_PAGE = 1_000;

/** Cancels at most a page; answers in order. */
export async function cancelSurely(pool: pg.Pool, ids: string[]): Promise<CancelAnswer[]> {
  return await surely(
    () => cancelCommands(pool, ids),
    async () => {
      const answers = await cancelCommands(pool, ids);
      // What is CANCELLED by now is as it was asked for, whichever call did it.
      const cancelled = await findCancelled(pool, ids);
      return answers.map((answer, i) => (cancelled.has(ids[i] ?? '') ? 'cancelled' : answer));
    },
  );
}

/** Retries at most a page; answers in order. `once` leaves out what was retried before. */
export async function retrySurely(
  pool: pg.Pool,
  ids: string[],
  options: { once: boolean },
): Promise<Retried[]> {
  const batch = ids.map((id) => ({ id, newId: v7() }));
  return await surely(() => retryCommands(pool, batch, options));
}
