// The queue: the only place that talks to pg-boss.
//
// pg-boss owns the claiming of tickets, their order and their storage. Nobody runs its upkeep (supervise
// and schedule are off): retries, expiry and recovery are the ledger's business. Its own statement for
// claiming, SELECT … FOR UPDATE SKIP LOCKED, becomes a SQL function, executor.fetch_tickets(), so that
// executor.claim() can change ticket and ledger in one transaction and one round trip. What it selects is
// deleted instead of marked: a ticket says that a command may be claimed, and the ledger says who did.

import { PgBoss } from 'pg-boss';
import type pg from 'pg';
import { DEFAULT_QUEUE } from './work.ts';

const SCHEMA = 'executor_queue';

/** Stands for p_limit in the statement that pg-boss makes; no number that it has of its own. */
const LIMIT = 987_654_321;

/**
 * Installs or upgrades pg-boss's schema, and its `default` queue. The caller holds a lock. Answers the
 * definitions of executor.fetch_tickets() and fetch_tickets_from().
 */
export async function installQueue(client: pg.ClientBase): Promise<string> {
  const boss = new PgBoss({
    db: adapter(client),
    schema: SCHEMA,
    supervise: false,
    schedule: false,
  });
  await boss.start();
  try {
    await boss.createQueue(DEFAULT_QUEUE, { policy: 'standard', retryLimit: 0 });
    return toFunctions(await fetchStatement(boss));
  } finally {
    await boss.stop({ graceful: false, close: false });
  }
}

/** What pg-boss sends to fetch jobs, without sending it. */
async function fetchStatement(boss: PgBoss): Promise<string> {
  let statement = '';
  await boss.fetch(DEFAULT_QUEUE, {
    batchSize: LIMIT,
    db: {
      executeSql: (text: string) => {
        statement = text;
        return Promise.resolve({ rows: [] });
      },
    },
  });
  return statement;
}

function toFunctions(statement: string): string {
  const anywhere = toFunction(statement, {
    name: 'fetch_tickets',
    parameters: 'p_lane text, p_limit integer',
    comment: 'takes tickets of a lane',
  });
  const from = toFunction(
    replace(statement, [
      ['ORDER BY', 'AND j.priority = p_priority AND j.created_on >= p_from ORDER BY'],
    ]),
    {
      name: 'fetch_tickets_from',
      parameters: 'p_lane text, p_limit integer, p_priority integer, p_from timestamptz',
      comment: 'takes tickets of a lane that have this priority and are not older',
    },
  );
  return anywhere + from;
}

// The claim must cost the same however stale the statistics are: the plan that walks the indexes is the
// right one at any backlog, so no other is considered.
function toFunction(
  statement: string,
  { name, parameters, comment }: { name: string; parameters: string; comment: string },
): string {
  const types = parameters.replaceAll(/p_\w+ /g, '');
  const body = replace(statement, [
    [`'${DEFAULT_QUEUE}'`, 'p_lane'],
    [`LIMIT ${LIMIT}`, 'LIMIT p_limit'],
    ['SELECT j.id', 'SELECT j.ctid as place'],
    [
      /UPDATE (executor_queue\.\w+) j SET[^]*$/,
      'DELETE FROM $1 j WHERE j.ctid = ANY (ARRAY(SELECT place FROM next)) RETURNING j.id',
    ],
  ]);
  return `
    create or replace function executor.${name}(${parameters})
    returns setof uuid
    language plpgsql
    volatile
    set search_path = pg_catalog, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_hashjoin = off
    set enable_mergejoin = off
    set enable_bitmapscan = off
    set enable_sort = off
    set jit = off
    as $$ begin return query ${body}; end $$;
    comment on function executor.${name}(${types}) is
      'Internal: ${comment}. pg-boss''s own statement, written by migrate.';`;
}

function replace(statement: string, replacements: [string | RegExp, string][]): string {
  return replacements.reduce((text, [what, by]) => {
    const replaced = text.replaceAll(what instanceof RegExp ? new RegExp(what, 'g') : what, by);
    if (replaced === text) throw new Error(`pg-boss fetches with another statement: no ${what}`);
    return replaced;
  }, statement);
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
