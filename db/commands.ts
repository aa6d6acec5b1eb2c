// Commands: taking them in, and reading them back.

import { sql, type Kysely } from 'kysely';
import type pg from 'pg';
import {
  type Command,
  type CommandStatus,
  type Delivery,
  selectCommands,
  toCommand,
} from './command-json.ts';
import { isUnstorable, translate } from './errors.ts';
import type { DB } from './schema.ts';

/** How to treat a command; what is left out has the ledger's default. */
export interface CommandOptions {
  /** After so many failures it is FAILED: 1 to 1000, 3 unless said. */
  maxAttempts?: number;
  /** The pause before a retry; see sql/functions/retry_pause.sql. 1000, 2, 3,600,000 unless said. */
  backoff?: { initialMs?: number; factor?: number; maxMs?: number };
  delivery?: Delivery;
  /** How long an attempt may take; else its type says. */
  timeoutMs?: number;
  /** Not before this time, ISO 8601 with its offset from UTC; or not for so long. */
  runAt?: string;
  delayMs?: number;
  /** -100 to 100; the higher is claimed first. */
  priority?: number;
}

export interface NewCommand extends CommandOptions {
  /** UUIDv7, drawn by the caller: submitting it again is harmless. */
  id: string;
  type: string;
  payload: Record<string, unknown>;
}

/** What became of one submitted command. */
export type Submitted = { id: string } | { error: Error };

/**
 * Takes a batch in, in one transaction; answers in order. A command that is refused fails alone: the
 * batch is then repeated one by one.
 *
 * @throws what the database throws when it is away. The batch may be repeated with the same ids.
 */
export async function submitCommands(pool: pg.Pool, batch: NewCommand[]): Promise<Submitted[]> {
  try {
    await pool.query('select executor.submit($1)', [JSON.stringify(batch)]);
    return batch.map(({ id }) => ({ id }));
  } catch (error) {
    if (!isUnstorable(error)) throw error;
    if (batch.length === 1) return [{ error: translate(error) as Error }];
    const outcomes: Submitted[] = [];
    for (const command of batch) outcomes.push(...(await submitCommands(pool, [command])));
    return outcomes;
  }
}

export interface CommandFilter {
  status?: CommandStatus;
  type?: string;
  agentId?: string;
}

/** A place in the list: the last command of a page. */
export interface PagePosition {
  /** ISO 8601 with microseconds, which a JavaScript date does not have. */
  createdAt: string;
  id: string;
}

const EXACT_TIME = sql<string>`to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** One page, newest first; `next` is where the following page starts, if there may be one. */
export async function listCommands(
  db: Kysely<DB>,
  query: { filter: CommandFilter; limit: number; after?: PagePosition },
): Promise<{ commands: Command[]; next?: PagePosition }> {
  const { filter, limit, after } = query;
  let select = selectCommands(db)
    .select(EXACT_TIME.as('position'))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit + 1);
  if (filter.status) select = select.where('status', '=', filter.status);
  if (filter.type) select = select.where('type', '=', filter.type);
  if (filter.agentId) select = select.where('agent_id', '=', filter.agentId);
  if (after) {
    select = select.where(
      sql<boolean>`(created_at, id) < (${after.createdAt}::timestamptz, ${after.id}::uuid)`,
    );
  }
  const rows = await select.execute();
  const last = rows[limit - 1];
  const commands = rows.slice(0, limit).map(toCommand);
  if (rows.length <= limit || !last) return { commands };
  return { commands, next: { createdAt: last.position, id: last.id } };
}

/** An attempt as clients see it; `outcome` is null while it runs. */
export interface Attempt {
  attempt: number;
  agentId: string | null;
  outcome: string | null;
  error: unknown;
  startedAt: string | null;
  finishedAt: string | null;
}

/** One command with its attempts, first to last. */
export async function findCommand(
  db: Kysely<DB>,
  id: string,
): Promise<(Command & { attempts: Attempt[] }) | undefined> {
  const row = await selectCommands(db).where('id', '=', id).executeTakeFirst();
  if (!row) return undefined;
  const attempts = await db
    .selectFrom('executor.command_attempts')
    .select(['attempt', 'agent_id', 'outcome', 'error', 'started_at', 'finished_at'])
    .where('command_id', '=', id)
    .orderBy('attempt')
    .execute();
  return {
    ...toCommand(row),
    attempts: attempts.map((attempt) => ({
      attempt: attempt.attempt ?? 0,
      agentId: attempt.agent_id,
      outcome: attempt.outcome,
      error: attempt.error,
      startedAt: attempt.started_at?.toISOString() ?? null,
      finishedAt: attempt.finished_at?.toISOString() ?? null,
    })),
  };
}
