// What the database says when it refuses or is away, in this project's own terms. The SQLSTATEs of
// class ZX are raised by sql/functions; this is the one place that translates them.

import { DatabaseError } from 'pg';

/** A process cannot start. The message is one complete line: print it and exit 1. */
export class StartupError extends Error {
  override name = 'StartupError';
}

/** A command that cannot be taken in. `pointer` is a JSON pointer into the submitted command. */
export class CommandRefusedError extends Error {
  override name = 'CommandRefusedError';
  readonly code: 'unknown_type' | 'unknown_queue' | 'invalid_payload' | 'invalid_command';
  readonly pointer: string;

  constructor(
    code: CommandRefusedError['code'],
    pointer: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.pointer = pointer;
  }
}

/** The refusal that a database error stands for, or the error itself. */
export function translate(error: unknown): unknown {
  const code = sqlState(error);
  if (code === undefined) return error;
  const message = (error as Error).message;
  const options = { cause: error };
  if (code === 'ZX001') return new CommandRefusedError('unknown_type', '#/type', message, options);
  if (code === 'ZX002')
    return new CommandRefusedError('unknown_queue', '#/queue', message, options);
  if (code === 'ZX003')
    return new CommandRefusedError('invalid_payload', '#/payload', message, options);
  if (isUnstorable(error))
    return new CommandRefusedError('invalid_command', '#', 'cannot be stored', options);
  return error;
}

/** Whether one item's data is at fault (SQLSTATE 22…, 23…, ZX…), so that its neighbours may pass. */
export function isUnstorable(error: unknown): boolean {
  return /^(22|23|54|ZX)/.test(sqlState(error) ?? '');
}

// 40…: a deadlock or a serialization failure; trying again is all there is to do.
const AWAY_STATES = /^(08|57P0|53300|25006|40)/;
const AWAY_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
const AWAY_MESSAGES =
  /Connection terminated|timeout exceeded when trying to connect|Query read timeout|not queryable|Client was closed/;

/** Whether the database is away or going away: the same call may succeed later. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  if (AWAY_STATES.test(code) || AWAY_CODES.has(code) || AWAY_MESSAGES.test(error.message))
    return true;
  if (error instanceof AggregateError) return error.errors.some(isUnavailable);
  return error.cause !== undefined && isUnavailable(error.cause);
}

function sqlState(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined;
}
