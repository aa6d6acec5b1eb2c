// The header `Idempotency-Key`: a structured string, "8e03978e-40d5", as the IETF's draft has it, or the
// same without quotes. Both are one key.

import type { ParameterizedContext } from 'koa';
import { type Fault, Problem } from './problem.ts';

export const KEY_POINTER = '#/header/idempotency-key';

const BARE = /^[\x20-\x7e]{1,255}$/;
const QUOTED = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;

/**
 * The key that the header gives, if it is there.
 *
 * @throws Problem 400.
 */
export function readIdempotencyKey(ctx: ParameterizedContext): string | undefined {
  const given = headers(ctx);
  const [text] = given;
  if (text === undefined) return undefined;
  if (given.length > 1) throw refuse('given more than once');
  const key = text.startsWith('"') ? unquote(text) : text;
  if (key === undefined || !BARE.test(key))
    throw refuse('expected 1 to 255 printable ASCII characters, in double quotes or without');
  return key;
}

/** @throws Problem 400 when the header is there: many commands cannot share a key. */
export function refuseIdempotencyKey(ctx: ParameterizedContext): void {
  if (headers(ctx).length > 0)
    throw refuse('expected none: give each command of the batch an idempotencyKey of its own');
}

function headers({ req }: ParameterizedContext): string[] {
  if (!('idempotency-key' in req.headers)) return [];
  // In `headers` two of them would look like one, with a comma.
  return req.headersDistinct['idempotency-key'] ?? [];
}

function unquote(text: string): string | undefined {
  return QUOTED.exec(text)?.[1]?.replace(/\\(.)/g, '$1');
}

function refuse(detail: string): Problem {
  const errors: Fault[] = [{ pointer: KEY_POINTER, detail }];
  return new Problem(400, 'invalid_header', 'The header Idempotency-Key is not valid.', { errors });
}
