// Carries out one claimed command: find its executor, check the payload, execute, check the result.
// Whatever happens on the way becomes an outcome that can be stored; nothing is thrown.
//
// When the context's signal aborted, the rejection that follows is an outcome like any other: what
// it means (timed out, cancelled, revoked) is for the caller to say.

import { z } from 'zod';
import { boundedText, describeError } from './describe-error.ts';
import type { ExecutorContext, ExecutorRegistry } from './executor.ts';
import { toStorable } from './storable.ts';

export type FailureCode =
  | 'unknown_type'
  | 'invalid_payload'
  | 'executor_error'
  | 'unstorable_result'
  | 'invalid_result';

export interface Completed {
  outcome: 'completed';
  result: unknown;
}

export interface Failed {
  outcome: 'failed';
  error: { code: FailureCode; message: string; retryable: boolean };
}

export type Outcome = Completed | Failed;

const MAX_ISSUES = 10;

/** Executes a command. Never rejects. */
export async function runExecutor(
  registry: ExecutorRegistry,
  command: { type: string; payload: unknown },
  context: ExecutorContext,
): Promise<Outcome> {
  const executor = registry.get(command.type);
  // Another agent, of a newer version, may know the type.
  if (!executor) return failed('unknown_type', `no executor for type ${command.type}`, true);

  const payload = check(executor.payload, command.payload);
  if (!payload.ok) return failed('invalid_payload', payload.message, false);

  let returned: unknown;
  try {
    returned = await executor.execute(payload.value, context);
  } catch (error) {
    return failed('executor_error', describeError(error), isRetryable(error));
  }

  let storable: unknown;
  try {
    storable = toStorable(returned);
  } catch (error) {
    return failed('unstorable_result', describeError(error), false);
  }

  const result = check(executor.result, storable);
  if (!result.ok) return failed('invalid_result', result.message, false);
  return { outcome: 'completed', result: result.value };
}

function failed(code: FailureCode, message: string, retryable: boolean): Failed {
  return { outcome: 'failed', error: { code, message: boundedText(message), retryable } };
}

type Checked<T> = { ok: true; value: T } | { ok: false; message: string };

/** A schema that throws, as one with asynchronous rules does, has refused the value. */
function check<T>(schema: z.ZodType<T>, value: unknown): Checked<T> {
  try {
    const parsed = schema.safeParse(value);
    if (parsed.success) return { ok: true, value: parsed.data };
    return { ok: false, message: parsed.error.issues.slice(0, MAX_ISSUES).map(place).join('; ') };
  } catch (error) {
    return { ok: false, message: describeError(error) };
  }
}

function place(issue: z.core.$ZodIssue): string {
  const path = z.core.toDotPath(issue.path);
  return path === '' ? issue.message : `${path}: ${issue.message}`;
}

function isRetryable(error: unknown): boolean {
  try {
    return (error as { retryable?: unknown } | null | undefined)?.retryable !== false;
  } catch {
    return true;
  }
}
