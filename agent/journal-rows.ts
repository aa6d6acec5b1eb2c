// The journal's rows, on their way in and out. What is read back is checked, so that damage is found and
// not reported as a result: bytes that were lost are zeros, which neither ids nor JSON have.

import { z } from 'zod';
import type { Report } from '../db/agents.ts';
import { JournalDamagedError } from './journal-damage.ts';

/** An outcome as it was recorded. */
export interface Entry {
  seq: number;
  /** The session that the attempt belongs to. */
  session: string;
  report: Report;
}

/** What a completed command came to. */
export interface Executed {
  result: unknown;
  /** Milliseconds since 1970. */
  executedAt: number;
}

/** What is remembered of every row. */
export interface Summary {
  seq: number;
  commandId: string;
  completed: boolean;
  /** The length of its result or error. */
  bytes: number;
}

export function toBody(report: Report): string {
  return JSON.stringify(report.outcome === 'completed' ? report.result : report.error);
}

const ProgressRow = z.object({ progress: z.int().min(1), first: z.int().min(1) });

export function toProgress(row: unknown): { progress: number; first: number } {
  return parse(ProgressRow, row);
}

const SummaryRow = z.object({
  seq: z.int(),
  commandId: z.string(),
  completed: z.int(),
  bytes: z.int(),
});

export function toSummary(row: unknown): Summary {
  const { completed, ...summary } = parse(SummaryRow, row);
  return { ...summary, completed: completed === 1 };
}

const EntryRow = z.object({
  seq: z.int(),
  command_id: z.guid(),
  attempt: z.int().min(1),
  session: z.guid(),
  outcome: z.enum(['completed', 'failed', 'timed_out', 'cancelled']),
  body: z.string(),
});
const Failure = z.object({ code: z.string(), message: z.string(), retryable: z.boolean() });

export function toEntry(row: unknown): Entry {
  const { seq, command_id: id, attempt, session, outcome, body } = parse(EntryRow, row);
  const value = fromJson(body);
  const report: Report =
    outcome === 'completed'
      ? { id, attempt, outcome, result: value }
      : { id, attempt, outcome, error: parse(Failure, value) };
  return { seq, session, report };
}

export function toExecuted(row: unknown): Executed {
  const { body, executedAt } = parse(z.object({ body: z.string(), executedAt: z.int() }), row);
  return { result: fromJson(body), executedAt };
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new JournalDamagedError('a row is not as it was written', { cause: parsed.error });
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new JournalDamagedError('a result is not as it was written', { cause });
  }
}
