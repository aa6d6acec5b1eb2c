// The scheduled SQL: see sql/functions/tick.sql.

import { z } from 'zod';
import type { Queryable } from './agents.ts';

/** What a tick answers; both times are the database's, whose clock need not be ours. */
export interface Ticked {
  /** When the next deferred command is due; null: not within a day. May be in the past. */
  nextDueAt: Date | null;
  answeredAt: Date;
}

/** Promotes, recovers and repairs what is due; anybody may call it. */
export async function tick(database: Queryable): Promise<Ticked> {
  const { rows } = await database.query('call executor.tick(null)', []);
  const Row = z.object({ next_due_at: z.date().nullable(), answered_at: z.date() });
  const [row] = z.tuple([Row]).parse(rows);
  return { nextDueAt: row.next_due_at, answeredAt: row.answered_at };
}
