// Reads a request's JSON body, and refuses what is no JSON or could not be stored as jsonb:
//
//   headers (415) → size (413) → UTF-8 → JSON → limits of json-limits.ts (400)

import type { IncomingMessage } from 'node:http';
import type { ParameterizedContext } from 'koa';
import { getRawBody } from 'raw-body';
import { assertAcceptableJson } from './json-limits.ts';
import { Problem } from './problem.ts';

/** What most bodies may take. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** How much of a body that is too large is read and dropped, and for how long. */
const MAX_DROPPED_BYTES = 16 * 1024 * 1024;
const MAX_DROPPING_MS = 2_000;

const JSON_MEDIA_TYPE = /^application\/(?:[\w.+-]+\+)?json$/i;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * The request's body, parsed.
 *
 * @throws Problem 400, 413 or 415.
 */
export async function readJson(ctx: ParameterizedContext): Promise<unknown> {
  return parseJson(await readBody(ctx));
}

/** The first half of that: the body's bytes, of at most `maxBytes`. */
export async function readBody(
  ctx: ParameterizedContext,
  maxBytes = MAX_BODY_BYTES,
): Promise<Buffer> {
  if (!hasBody(ctx)) throw emptyBody();
  assertPlainJson(ctx);
  const bytes = await readBytes(ctx.req, ctx.get('Content-Length'), maxBytes);
  if (bytes.length === 0) throw emptyBody();
  return bytes;
}

/** The second half: what they say. */
export function parseJson(bytes: Buffer, maxDepth?: number): unknown {
  const value = parse(decode(bytes));
  assertAcceptableJson(value, maxDepth);
  return value;
}

/** The same for a body that may be left out: undefined then. */
export async function readOptionalJson(ctx: ParameterizedContext): Promise<unknown> {
  if (!hasBody(ctx)) return undefined;
  const bytes = await readBytes(ctx.req, ctx.get('Content-Length'), MAX_BODY_BYTES);
  if (bytes.length === 0) return undefined;
  assertPlainJson(ctx);
  return parseJson(bytes);
}

function hasBody({ req: { headers } }: ParameterizedContext): boolean {
  return 'transfer-encoding' in headers || (headers['content-length'] ?? '0') !== '0';
}

function emptyBody(): Problem {
  return malformed('empty_body', 'The request has no body; it needs a JSON object.');
}

function assertPlainJson(ctx: ParameterizedContext): void {
  const { headers } = ctx.req;
  // What nearly all send need not be taken apart.
  if (headers['content-type'] === 'application/json' && !('content-encoding' in headers)) return;
  const [mediaType = ''] = ctx.get('Content-Type').split(';', 1);
  if (!JSON_MEDIA_TYPE.test(mediaType.trim()))
    throw unsupported('content-type', 'The body must be application/json.');
  if (!/^(utf-?8)?$/i.test(ctx.request.charset))
    throw unsupported('content-type', 'The body must be in UTF-8.');
  if (!/^(identity)?$/i.test(ctx.get('Content-Encoding')))
    throw unsupported('content-encoding', 'The body must come uncompressed.');
}

function unsupported(header: string, detail: string): Problem {
  const errors = [{ pointer: `#/header/${header}`, detail }];
  return new Problem(415, 'unsupported_media_type', detail, { errors });
}

async function readBytes(
  request: IncomingMessage,
  length: string,
  maxBytes: number,
): Promise<Buffer> {
  try {
    return await getRawBody(request, { limit: maxBytes, length: length || null });
  } catch (error) {
    if ((error as { type?: string }).type !== 'entity.too.large')
      throw malformed('incomplete_body', 'The body broke off.', error);
    await drop(request);
    const detail = `The body is larger than ${maxBytes} bytes.`;
    throw new Problem(413, 'body_too_large', detail, {
      errors: [{ pointer: '#', detail }],
      headers: { Connection: 'close' },
    });
  }
}

// A client that is still sending when its connection closes gets a reset, and never sees the 413.
function drop(request: IncomingMessage): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, MAX_DROPPING_MS);
  let dropped = 0;
  request.on('data', (chunk: Buffer) => {
    dropped += chunk.length;
    if (dropped > MAX_DROPPED_BYTES) resolve();
  });
  request.once('close', resolve).once('end', resolve).resume();
  return promise.finally(() => {
    clearTimeout(timer);
    request.pause();
  });
}

function decode(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw malformed('invalid_utf8', 'The body is not valid UTF-8.');
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed('invalid_json', 'The body is not valid JSON.');
  }
}

function malformed(code: string, detail: string, cause?: unknown): Problem {
  return new Problem(400, code, detail, { cause, errors: [{ pointer: '#', detail }] });
}
