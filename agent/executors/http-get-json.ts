// HTTP_GET_JSON: gets a URL and keeps the answer.
//
// Whatever a server says, 404 and 500 included, is a result. So is getting no whole answer (no such
// host, refused, broken off, too slow): `status` is 0 then, and `error` says why. Only an abort from
// outside fails the attempt. The other end is not trusted: redirects, bytes (after decompression)
// and the whole time are bounded, and so is the memory that an answer can cost.

import { z } from 'zod';
import { readBody } from './bounded-body.ts';
import { describeError } from './describe-error.ts';
import { defineExecutor, type ExecutorContext } from './executor.ts';
import { toStorable } from './storable.ts';

const MAX_BODY_BYTES = 102_400;
const MAX_REDIRECTS = 5;
const MAX_URL_CHARACTERS = 8_192;
const TIMEOUT_MS = 30_000;
const REDIRECT_STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

// The rules are ones that JSON Schema can express, so that the server refuses what we would. No `@`
// before the path: fetch refuses credentials in a URL, and they would be in the ledger for good.
const ADDRESS = /^[Hh][Tt][Tt][Pp][Ss]?:\/\/[^\s/?#@\\]+([/?#\\].*)?$/;
const EXPECTED_URL = 'expected an http or https URL without credentials';

const payload = z.strictObject({
  url: z
    .string()
    .max(MAX_URL_CHARACTERS, { abort: true })
    .regex(ADDRESS, { error: EXPECTED_URL, abort: true })
    .refine((url) => URL.canParse(url), EXPECTED_URL)
    .meta({ format: 'uri', description: 'what to get' }),
});

const result = z.strictObject({
  status: z.int().min(0).max(999).describe('HTTP status; 0 when there was no answer'),
  body: z.unknown().describe('the parsed JSON, or the text of anything else'),
  truncated: z.boolean().describe(`whether the body was cut, after ${MAX_BODY_BYTES} bytes`),
  bytesReturned: z.int().min(0).max(MAX_BODY_BYTES).describe('the length of the body kept'),
  error: z.string().nullable().describe('why there was no answer'),
});

type Answer = z.infer<typeof result>;

/** The executor, with a total time of its own for tests. */
export function createHttpGetJson({ timeoutMs = TIMEOUT_MS } = {}) {
  return defineExecutor({
    type: 'HTTP_GET_JSON',
    description: 'Gets an http or https URL and keeps the status and up to 100 KB of the body.',
    payload,
    result,
    timeout: { defaultMs: timeoutMs + 30_000 },

    async execute({ url }, context): Promise<Answer> {
      const timeout = new AbortController();
      const tooSlow = new Error(`timed out after ${timeoutMs} ms`);
      const timer = setTimeout(() => timeout.abort(tooSlow), timeoutMs);
      try {
        return await get(url, context, AbortSignal.any([context.signal, timeout.signal]));
      } catch (error) {
        context.signal.throwIfAborted();
        return noAnswer(timeout.signal.aborted ? tooSlow : error);
      } finally {
        clearTimeout(timer);
      }
    },
  });
}

export const httpGetJson = createHttpGetJson();

async function get(url: string, context: ExecutorContext, signal: AbortSignal): Promise<Answer> {
  const response = await followRedirects(url, {
    headers: {
      accept: 'application/json, */*;q=0.5',
      'user-agent': 'agent-executor',
      'idempotency-key': context.commandId,
      'agent-executor-attempt': String(context.attempt),
    },
    redirect: 'manual',
    signal,
  });
  const { text, bytes, truncated } = await readBody(response.body, MAX_BODY_BYTES);
  const answer = { status: response.status, truncated, bytesReturned: bytes, error: null };
  return truncated ? { ...answer, body: text } : withParsedBody({ ...answer, body: text });
}

async function followRedirects(url: string, init: RequestInit): Promise<Response> {
  let target = url;
  for (let count = 0; count <= MAX_REDIRECTS; count++) {
    const response = await fetch(target, init);
    const location = response.headers.get('location');
    if (location === null || !REDIRECT_STATUSES.has(response.status)) return response;
    // Nobody reads this body, so neither does it matter if it is broken.
    await response.body?.cancel().catch(() => undefined);
    target = redirectTarget(location, target);
  }
  throw new Error(`more than ${MAX_REDIRECTS} redirects`);
}

/** Where a redirect leads. The message does not repeat it: it may hold secrets. */
function redirectTarget(location: string, base: string): string {
  // fetch reads headers as latin1, and a Location that is not ASCII is UTF-8 in practice.
  const target = URL.parse(Buffer.from(location, 'latin1').toString(), base);
  if (target === null) throw new Error('redirected to an invalid URL');
  if (target.protocol !== 'http:' && target.protocol !== 'https:') {
    throw new Error(`redirected to a URL that is not http or https (${target.protocol})`);
  }
  if (target.username || target.password) throw new Error('redirected to a URL with credentials');
  return target.href;
}

/** JSON that could not be stored, such as 1e400 or thousands of brackets, stays text. */
function withParsedBody(answer: Answer & { body: string }): Answer {
  try {
    const parsed = { ...answer, body: JSON.parse(answer.body) as unknown };
    toStorable(parsed);
    return parsed;
  } catch {
    return answer;
  }
}

function noAnswer(error: unknown): Answer {
  // fetch wraps what happened in a TypeError that says "fetch failed" or "terminated".
  const reason = error instanceof TypeError && error.cause ? error.cause : error;
  const message = describeError(reason);
  return { status: 0, body: null, truncated: false, bytesReturned: 0, error: message };
}
