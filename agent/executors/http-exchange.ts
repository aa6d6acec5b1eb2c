// One HTTP request and what came of it, for HTTP_GET_JSON and HTTP_REQUEST.
//
// Whatever a server says, 404 and 500 included, is a result. So is getting no whole answer (no such
// host, refused, broken off, too slow): `status` is 0 then, and `error` says why. Only an abort from
// outside fails the attempt. The other end is not trusted: redirects, bytes (after decompression)
// and the whole time are bounded, and so is the memory that an answer can cost.

import { z } from 'zod';
import { readBody } from './bounded-body.ts';
import { describeError } from './describe-error.ts';
import type { ExecutorContext } from './executor.ts';
import { fetchFollowing, type HttpRequest } from './http-redirects.ts';
import { toStorable } from './storable.ts';

const MAX_BODY_BYTES = 102_400;

/** How long an exchange may take, in ms, and an attempt that makes one. */
export const EXCHANGE_MS = 30_000;
export const attemptTimeout = (exchangeMs: number) => ({ defaultMs: exchangeMs + 30_000 });

/** The members of an answer, as the results of types publish them. */
export const answerShape = {
  status: z.int().min(0).max(999).describe('HTTP status; 0 when there was no answer'),
  body: z.unknown().describe('the parsed JSON, or the text of anything else'),
  truncated: z.boolean().describe(`whether the body was cut, after ${MAX_BODY_BYTES} bytes`),
  bytesReturned: z.int().min(0).max(MAX_BODY_BYTES).describe('the length of the body kept'),
  error: z.string().nullable().describe('why there was no answer'),
};

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: unknown;
  truncated: boolean;
  bytesReturned: number;
  error: string | null;
}

/** What every request says unless its command says otherwise, and what none can say otherwise. */
export function requestHeaders(context: ExecutorContext, own: Record<string, string> = {}) {
  const headers = new Headers({
    accept: 'application/json, */*;q=0.5',
    'user-agent': 'agent-executor',
  });
  for (const [name, value] of Object.entries(own)) headers.set(name, value);
  headers.set('idempotency-key', context.commandId);
  headers.set('agent-executor-attempt', String(context.attempt));
  return headers;
}

/** Sends a request, redirects included, and reads the answer, all within `timeoutMs`. */
export async function exchange(
  request: HttpRequest,
  { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number },
): Promise<Answer> {
  const timeout = new AbortController();
  const tooSlow = new Error(`timed out after ${timeoutMs} ms`);
  const timer = setTimeout(() => timeout.abort(tooSlow), timeoutMs);
  try {
    const either = AbortSignal.any([signal, timeout.signal]);
    return await readAnswer(await fetchFollowing(request, either));
  } catch (error) {
    signal.throwIfAborted();
    return noAnswer(timeout.signal.aborted ? tooSlow : error);
  } finally {
    clearTimeout(timer);
  }
}

async function readAnswer(response: Response): Promise<Answer> {
  const { text, bytes, truncated } = await readBody(response.body, MAX_BODY_BYTES);
  return {
    status: response.status,
    headers: headersOf(response),
    body: truncated ? text : parsedBody(text),
    truncated,
    bytesReturned: bytes,
    error: null,
  };
}

/** Several of one name are joined, cookies too. */
function headersOf({ headers }: Response): Record<string, string> {
  return Object.fromEntries(Array.from(headers.keys(), (name) => [name, headers.get(name) ?? '']));
}

/** JSON that could not be stored, such as 1e400 or thousands of brackets, stays text. */
function parsedBody(text: string): unknown {
  try {
    const body: unknown = JSON.parse(text);
    // The answer around it is one level more.
    toStorable({ body });
    return body;
  } catch {
    return text;
  }
}

function noAnswer(error: unknown): Answer {
  // fetch wraps what happened in a TypeError that says "fetch failed" or "terminated".
  const reason = error instanceof TypeError && error.cause ? error.cause : error;
  return {
    status: 0,
    headers: {},
    body: null,
    truncated: false,
    bytesReturned: 0,
    error: describeError(reason),
  };
}
