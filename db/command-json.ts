// A command as clients see it: one JSON everywhere, and the query that it is made from.

import { sql, type InferResult, type Kysely, type RawBuilder, type Selectable } from 'kysely';
import type { DB } from './schema.ts';

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

/** What follows an attempt whose end nobody knows; see the type executor.delivery. */
export const DELIVERIES = ['at_least_once', 'at_most_once'] as const;
export type Delivery = (typeof DELIVERIES)[number];

/** Times are ISO 8601; what is not there is null. */
export interface Command {
  id: string;
  type: string;
  payload: unknown;
  status: CommandStatus;
  result: unknown;
  error: unknown;
  agentId: string | null;
  attempt: number;
  failures: number;
  losses: number;
  maxAttempts: number;
  backoff: { initialMs: number; factor: number; maxMs: number };
  delivery: Delivery;
  timeoutMs: number;
  queue: string;
  /** The only agent that may run it. */
  target: { agentId: string } | null;
  priority: number;
  /** With microseconds: with the id it is what lists are ordered by, also as text. */
  createdAt: string;
  updatedAt: string;
  runAt: string | null;
  startedAt: string | null;
  /** The same as `startedAt`, under the name that older clients know. */
  assignedAt: string | null;
  /** When the running attempt times out, or the one that ended the command would have. */
  deadlineAt: string | null;
  finishedAt: string | null;
  /** When somebody asked to cancel it while it ran. */
  cancelRequestedAt: string | null;
  /** How far the latest attempt is, as its executor last said. */
  progress: Progress | null;
  tags: string[];
  metadata: unknown;
  /** At most one command of a key runs at a time. */
  concurrencyKey: string | null;
  /** The key it was submitted under. */
  idempotencyKey: string | null;
  /** Of those that were submitted together. */
  batchId: string | null;
  /** The finished command that somebody repeated with this. */
  retryOf: string | null;
}

export interface Progress {
  /** From 0 to 1. */
  value: number | null;
  message: string | null;
  updatedAt: string;
}

/** A place in a list: the command that a page ended with. */
export interface PagePosition {
  /** ISO 8601 in UTC with microseconds, which a JavaScript date does not have: text that orders. */
  createdAt: string;
  id: string;
}

/** A command as the ledger had it at one time. */
export interface CommandVersion {
  command: Command;
  position: PagePosition;
  /**
   * Names this state among all of the command's, and orders them: when the row last changed, when progress
   * was last said (microseconds since 1970), and the status.
   */
  version: string;
}

/** What is done stays as it is. */
export function isFinished({ status }: Pick<Command, 'status'>): boolean {
  return status === 'COMPLETED' || status === 'FAILED' || status === 'CANCELLED';
}

/** All that the JSON of commands needs. `rows` is a query of whole rows of executor.commands. */
export function selectCommands(db: Kysely<DB>, rows: RawBuilder<unknown>) {
  return (
    db
      .selectFrom(sql<Selectable<DB['executor.commands']>>`(${rows})`.as('c'))
      // Lateral, with a limit: looked up row by row, whatever the statistics say.
      .leftJoinLateral(
        (latest) =>
          latest
            .selectFrom('executor.progress as p')
            .select(['p.progress', 'p.message', 'p.updated_at as progress_at'])
            .whereRef('p.command_id', '=', 'c.id')
            .whereRef('p.attempt', '=', 'c.attempt')
            .limit(1)
            .as('said'),
        (join) => join.onTrue(),
      )
      .select(['id', 'type', 'payload', 'status', 'result', 'error', 'agent_id', 'attempt'])
      .select(['failures', 'losses', 'max_attempts', 'backoff_factor', 'delivery'])
      .select([milliseconds('timeout').as('timeout_ms')])
      .select([milliseconds('backoff_initial').as('backoff_initial_ms')])
      .select([milliseconds('backoff_max').as('backoff_max_ms')])
      .select(['queue', 'target_agent_id', 'priority', 'updated_at', 'run_at'])
      .select(['started_at', 'deadline_at', 'finished_at', 'cancel_requested_at'])
      .select(['progress', 'message', 'progress_at', 'tags', 'metadata'])
      .select(['concurrency_key', 'idempotency_key', 'batch_id', 'retry_of'])
      .select([EXACT_TIME.as('position'), VERSION.as('version')])
  );
}

/** When a command was created, as in a PagePosition. */
export const EXACT_TIME = sql<string>`to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
const VERSION = sql<string>`concat_ws('-', ${microseconds('updated_at')}, coalesce(${microseconds('progress_at')}, 0), status)`;

function microseconds(column: 'updated_at' | 'progress_at') {
  return sql`(extract(epoch from ${sql.ref(column)}) * 1000000)::bigint`;
}

function milliseconds(column: 'timeout' | 'backoff_initial' | 'backoff_max') {
  return sql<number>`(extract(epoch from ${sql.ref(column)}) * 1000)::double precision`;
}

export type CommandRow = InferResult<ReturnType<typeof selectCommands>>[number];

export function toVersion(row: CommandRow): CommandVersion {
  const position = { createdAt: row.position, id: row.id };
  return { command: toCommand(row), position, version: row.version };
}

export function toCommand(row: CommandRow): Command {
  const startedAt = isoTime(row.started_at);
  return {
    id: row.id,
    type: row.type,
    payload: row.payload,
    status: row.status,
    result: row.result,
    error: row.error,
    agentId: row.agent_id,
    attempt: row.attempt,
    failures: row.failures,
    losses: row.losses,
    maxAttempts: row.max_attempts,
    backoff: {
      initialMs: row.backoff_initial_ms,
      factor: row.backoff_factor,
      maxMs: row.backoff_max_ms,
    },
    delivery: row.delivery,
    timeoutMs: row.timeout_ms,
    queue: row.queue,
    target: row.target_agent_id === null ? null : { agentId: row.target_agent_id },
    priority: row.priority,
    createdAt: row.position,
    updatedAt: row.updated_at.toISOString(),
    runAt: isoTime(row.run_at),
    startedAt,
    assignedAt: startedAt,
    deadlineAt: isoTime(row.deadline_at),
    finishedAt: isoTime(row.finished_at),
    cancelRequestedAt: isoTime(row.cancel_requested_at),
    progress: toProgress(row),
    tags: row.tags,
    metadata: row.metadata,
    concurrencyKey: row.concurrency_key,
    idempotencyKey: row.idempotency_key,
    batchId: row.batch_id,
    retryOf: row.retry_of,
  };
}

function toProgress({ progress, message, progress_at }: CommandRow): Progress | null {
  if (!progress_at) return null;
  return { value: progress, message, updatedAt: progress_at.toISOString() };
}

function isoTime(time: Date | null): string | null {
  return time?.toISOString() ?? null;
}
