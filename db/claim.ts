// Claiming, as an agent does it. Apart from queue.ts, so that agents need not load pg-boss.

import type pg from 'pg';
import { z } from 'zod';
import type { Subscription } from './agents.ts';
import { queryPrepared } from './prepared.ts';

const ClaimedCommand = z.object({
  id: z.string(),
  type: z.string(),
  payload: z.record(z.string(), z.unknown()),
  attempt: z.number(),
  timeoutMs: z.number(),
  cancelRequested: z.boolean(),
});
const ClaimedCommands = z.array(ClaimedCommand);

/**
 * A command that this session now runs. `timeoutMs`: how long the attempt may take. `cancelRequested`:
 * somebody asked to cancel it while it was being claimed.
 */
export type ClaimedCommand = z.infer<typeof ClaimedCommand>;

export interface Claim extends Subscription {
  /** At most this many, in the order in which to execute them. */
  limit: number;
  /** How many of these will have to wait for a slot: see the SQL function claim(). */
  ahead?: number;
  agentId: string;
  session: string;
  /** This session's number for the claim, kept on the rows: see the SQL function beat(). */
  claimNo: number;
}

/** Claims ready commands for one agent session: tickets and ledger rows, in one round trip. */
export async function claim(pool: pg.Pool, wanted: Claim): Promise<ClaimedCommand[]> {
  const { agentId, session, claimNo, queues, types, limit, ahead = 0 } = wanted;
  const rows = await queryPrepared(
    pool,
    'claim',
    // Renamed here: a transform in the schema would make checking a row cost more.
    `select id, type, payload, attempt,
            timeout_ms as "timeoutMs", cancel_requested as "cancelRequested"
     from executor.claim($1, $2, $3, $4, $5, $6, $7)`,
    [agentId, session, claimNo, queues, types, limit, ahead],
  );
  return ClaimedCommands.parse(rows);
}
