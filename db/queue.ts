// The queue: the only place that talks to pg-boss.
//
// pg-boss owns claiming, queue order and queue storage. Nobody runs its upkeep (supervise and
// schedule are off): retries, expiry and recovery are the ledger's business.

import { PgBoss } from 'pg-boss';
import type pg from 'pg';
import { z } from 'zod';

export const DEFAULT_QUEUE = 'default';

const SCHEMA = 'executor_queue';

/** Above any claim. pg-boss then matches the chosen tickets with `= any (array (…))`: see claim(). */
const GROUP_CONCURRENCY = 1_000_000;

/**
 * What the claiming connection runs first. The claim must cost the same however stale the statistics
 * are: the plan that walks the indexes is the right one at any backlog, so no other is considered.
 */
export const CLAIM_SETUP = [
  'enable_seqscan',
  'enable_hashjoin',
  'enable_mergejoin',
  'enable_bitmapscan',
  'enable_sort',
  'jit',
]
  .map((setting) => `set ${setting} = off`)
  .join('; ');

/** Installs or upgrades pg-boss's schema, and its `default` queue. The caller holds a lock. */
export async function installQueue(client: pg.ClientBase): Promise<void> {
  const boss = new PgBoss({
    db: adapter(client),
    schema: SCHEMA,
    supervise: false,
    schedule: false,
  });
  await boss.start();
  try {
    await boss.createQueue(DEFAULT_QUEUE, { policy: 'standard', retryLimit: 0 });
  } finally {
    await boss.stop({ graceful: false, close: false });
  }
}

const ClaimedCommand = z.object({
  id: z.string(),
  type: z.string(),
  payload: z.record(z.string(), z.unknown()),
  attempt: z.number(),
  timeoutMs: z.number(),
  cancelRequested: z.boolean(),
});

/**
 * A command that this session now runs. `timeoutMs`: how long the attempt may take. `cancelRequested`:
 * somebody asked to cancel it while it was being claimed.
 */
export type ClaimedCommand = z.infer<typeof ClaimedCommand>;

export interface Claim {
  queue: string;
  /** At most this many. */
  limit: number;
  agentId: string;
  session: string;
  /** This session's number for the claim, kept on the rows: see the SQL function beat(). */
  claimNo: number;
}

/** Claims ready commands for one agent session, over a pool whose setup is `CLAIM_SETUP`. */
export class ClaimQueue {
  readonly #pool: pg.Pool;
  readonly #boss: PgBoss;

  private constructor(pool: pg.Pool, boss: PgBoss) {
    this.#pool = pool;
    this.#boss = boss;
  }

  static async open(pool: pg.Pool, onError: (error: Error) => void): Promise<ClaimQueue> {
    const boss = new PgBoss({
      db: adapter(pool),
      schema: SCHEMA,
      supervise: false,
      schedule: false,
      migrate: false,
    });
    boss.on('error', onError);
    await boss.start();
    return new ClaimQueue(pool, boss);
  }

  /**
   * Claims up to `limit` commands: tickets and ledger rows in one statement, one round trip.
   *
   * `status = 'PENDING'` is essential: without it a stray ticket would revive a finished command.
   */
  async claim(claim: Claim): Promise<ClaimedCommand[]> {
    let rows: unknown[] = [];
    const executeSql = async (fetch: string, values: unknown[] = []) => {
      const owner = [claim.agentId, claim.session, claim.claimNo];
      const result = await this.#pool.query(wrap(fetch, values.length), [...values, ...owner]);
      rows = result.rows;
      return { rows: [] };
    };
    await this.#boss.fetch(claim.queue, {
      batchSize: claim.limit,
      groupConcurrency: GROUP_CONCURRENCY,
      db: { executeSql },
    });
    return z.array(ClaimedCommand).parse(rows);
  }

  async close(): Promise<void> {
    await this.#boss.stop({ graceful: false, close: false });
  }
}

function wrap(fetch: string, used: number): string {
  return `
    with ticket as (${fetch}),
    claimed as (
      update executor.commands
      set
        status = 'RUNNING',
        attempt = attempt + 1,
        agent_id = $${used + 1},
        session = $${used + 2},
        claim_no = $${used + 3},
        started_at = clock_timestamp(),
        deadline_at = clock_timestamp() + timeout,
        updated_at = clock_timestamp()
      where id = any (array (select id from ticket)) and status::text = 'PENDING'
      returning
        id, type, payload, attempt,
        (extract(epoch from timeout) * 1000)::double precision as "timeoutMs",
        cancel_requested_at is not null as "cancelRequested"
    )
    select claimed.*
    from (select executor.announce_changes(array_agg(id)) from claimed offset 0) as announced, claimed`;
}

function adapter(connection: pg.ClientBase | pg.Pool) {
  return {
    executeSql: async (text: string, values?: unknown[]) => {
      const result = await connection.query(text, values);
      // Several statements at once, as pg-boss installs itself, answer an array of results.
      return Array.isArray(result) ? (result.at(-1) as pg.QueryResult) : result;
    },
  };
}
