// A command as clients see it: one JSON everywhere, and the query that it is made from.

import { sql, type InferResult, type Kysely } from 'kysely';
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
  priority: number;
  createdAt: string;
  updatedAt: string;
  runAt: string | null;
  startedAt: string | null;
  /** The same as `startedAt`, under the name that older clients know. */
  assignedAt: string | null;
  /** When the running attempt times out, or the one that ended the command would have. */
  deadlineAt: string | null;
  finishedAt: string | null;
}

/** A query of commands, with all that their JSON needs. */
export function selectCommands(db: Kysely<DB>) {
  return db
    .selectFrom('executor.commands')
    .select(['id', 'type', 'payload', 'status', 'result', 'error', 'agent_id', 'attempt'])
    .select(['failures', 'losses', 'max_attempts', 'backoff_factor', 'delivery'])
    .select([milliseconds('timeout').as('timeout_ms')])
    .select([milliseconds('backoff_initial').as('backoff_initial_ms')])
    .select([milliseconds('backoff_max').as('backoff_max_ms')])
    .select(['queue', 'priority', 'created_at', 'updated_at', 'run_at'])
    .select(['started_at', 'deadline_at', 'finished_at']);
}

export type CommandRow = InferResult<ReturnType<typeof selectCommands>>[number];

export function toCommand(row: CommandRow): Command {
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
    priority: row.priority,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    runAt: row.run_at?.toISOString() ?? null,
    startedAt,
    assignedAt: startedAt,
    deadlineAt: row.deadline_at?.toISOString() ?? null,
    finishedAt: row.finished_at?.toISOString() ?? null,
  };
}

function milliseconds(column: 'timeout' | 'backoff_initial' | 'backoff_max') {
  return sql<number>`(extract(epoch from ${sql.ref(column)}) * 1000)::double precision`;
}
