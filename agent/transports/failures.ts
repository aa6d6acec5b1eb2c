// What a call of a transport that failed means, whichever transport it is.

import { isUnavailable, isUnstorable as isRefusedByDatabase } from '../../db/errors.ts';
import { ServerError } from './http-client.ts';

/** Whether what should answer is away or going away: the same call may succeed later. */
export function isAway(error: unknown): boolean {
  return error instanceof ServerError ? error.isAway : isUnavailable(error);
}

/**
 * Whether the data is at fault, so that a part of it may pass. A status alone, without a code, is not
 * this project's: something in between has said it.
 */
export function isUnstorable(error: unknown): boolean {
  if (!(error instanceof ServerError)) return isRefusedByDatabase(error);
  const { status, code } = error;
  return status === 413 || ((status === 400 || status === 422) && code !== undefined);
}

/** Whether a batch is too large for one string, one request, or the time that a statement may take. */
export function isTooMuch(error: unknown): boolean {
  if (error instanceof ServerError) return error.status === 413;
  if (error instanceof RangeError) return true;
  return error instanceof Error && error.message === 'Query read timeout';
}
