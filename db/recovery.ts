// The scheduled SQL: see sql/functions/tick.sql.

import { z } from 'zod';
import type { Queryable } from './agents.ts';

/**
 * Promotes, recovers and repairs what is due; anybody may call it. Answers when the next deferred
 * command is due, if one is known.
 */
export async function tick(database: Queryable): Promise<Date | null> {
  const { rows } = await database.query('call executor.tick(null)', []);
  const Row = z.object({ next_due_at: z.date().nullable() });
  return z.array(Row).parse(rows)[0]?.next_due_at ?? null;
}
