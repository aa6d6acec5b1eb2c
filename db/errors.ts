// What the database says when it refuses or is away, in this project's own terms. The SQLSTATEs of
// class ZX are raised by sql/functions; this is the one place that translates them.

import { DatabaseError } from 'pg';

/** A process cannot start. The message is one complete line: print it and exit 1. */
export class StartupError extends Error {
  override name = 'StartupError';
}

export type RefusalCode =
  | 'unknown_type'
  | 'unknown_queue'
  | 'invalid_payload'
  | 'invalid_command'
  | 'idempotency_key_reused'
  | 'idempotency_key_in_use';

/** A command that cannot be taken in. */
export class CommandRefusedError extends Error {
  override name = 'CommandRefusedError';
  readonly code: RefusalCode;
  /** The member of the command that is at fault; undefined: the command as a whole. */
  readonly member: string | undefined;
  /** The member's value, where the database quotes it: tells which command of a batch is meant. */
  readonly value: string | undefined;

  constructor(
    code: RefusalCode,
    message: string,
    options: ErrorOptions & { member?: string | undefined; value?: string | undefined } = {},
  ) {
    super(message, options);
    this.code = code;
    this.member = options.member;
    this.value = options.value;
  }

  /** A JSON pointer into the submitted command. */
  get pointer(): string {
    return this.member === undefined ? '#' : `#/${this.member}`;
  }
}

/** Another contract for a type that came with this code. */
export class BuiltInTypeError extends Error {
  override name = 'BuiltInTypeError';
  readonly type: string;

  constructor(type: string, options: ErrorOptions) {
    super(`type ${type} is built in`, options);
    this.type = type;
  }
}

const REFUSALS = new Map<string, [code: RefusalCode, member: string]>([
  ['ZX001', ['unknown_type', 'type']],
  ['ZX002', ['unknown_queue', 'queue']],
  ['ZX003', ['invalid_payload', 'payload']],
  ['ZX006', ['idempotency_key_reused', 'idempotencyKey']],
  ['ZX007', ['idempotency_key_in_use', 'idempotencyKey']],
]);

/** The refusal that a database error stands for, or the error itself. */
export function translate(error: unknown): unknown {
  const [code, member] = REFUSALS.get(sqlState(error) ?? '') ?? [];
  if (code) {
    const { message } = error as Error;
    return new CommandRefusedError(code, message, { cause: error, member, value: quoted(message) });
  }
  if (isUnstorable(error))
    return new CommandRefusedError('invalid_command', 'cannot be stored', { cause: error });
  return error;
}

/** The same for the publication of types. */
export function translatePublication(error: unknown): unknown {
  if (sqlState(error) !== 'ZX010') return error;
  return new BuiltInTypeError(quoted((error as Error).message) ?? '', { cause: error });
}

/** Whether one item's data is at fault (SQLSTATE 22…, 23…, ZX…), so that its neighbours may pass. */
export function isUnstorable(error: unknown): boolean {
  return /^(22|23|54|ZX)/.test(sqlState(error) ?? '');
}

// 40…: a deadlock or a serialization failure; trying again is all there is to do. 53…: out of
// connections, memory, locks or disk.
const AWAY_STATES = /^(08|57P0|53|25006|40)/;
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

// What quote_literal() wrote into a message.
function quoted(message: string): string | undefined {
  const [, escaped, text] = /(E?)'((?:[^']|'')*)'/.exec(message) ?? [];
  const value = text?.replaceAll("''", "'");
  return escaped ? value?.replaceAll('\\\\', '\\') : value;
}
