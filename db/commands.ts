// Commands: taking them in, and reading them back as the JSON that every client sees.

import { sql, type Kysely, type Selectable } from 'kysely';
import type pg from 'pg';
import { isUnstorable, translate } from './errors.ts';
import type { DB, ExecutorCommands } from './schema.ts';

export const COMMAND_STATUSES = [
  'SCHEDULED',
  'BLOCKED',
  'PENDING',
  'RUNNING',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
] as const;
export type CommandStatus = (typeof COMMAND_STATUSES)[number];

export interface NewCommand {
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

/** A command as clients see it. Times are ISO 8601; what is not there is null. */
export interface Command {
  id: string;
  type: string;
  payload: unknown;
  status: CommandStatus;
  result: unknown;
  error: unknown;
  agentId: string | null;
  attempt: number;
  queue: string;
  priority: number;
  createdAt: string;
  updatedAt: string;
  runAt: string | null;
  startedAt: string | null;
  /** The same as `startedAt`, under the name that older clients know. */
  assignedAt: string | null;
  finishedAt: string | null;
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
  let select = db
    .selectFrom('executor.commands')
    .selectAll()
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
  const row = await db
    .selectFrom('executor.commands')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst();
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

function toCommand(row: Selectable<ExecutorCommands>): Command {
  const startedAt = row.started_at?.toISOString() ?? null;
  return {
    id: row.id,
    type: row.type,
    payload: row.payload,
    status: row.status,
    result: row.result,
    error: row.error,
    agentId: row.agent_id,
    attempt: row.attempt,
    queue: row.queue,
    priority: row.priority,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    runAt: row.run_at?.toISOString() ?? null,
    startedAt,
    assignedAt: startedAt,
    finishedAt: row.finished_at?.toISOString() ?? null,
  };
}
