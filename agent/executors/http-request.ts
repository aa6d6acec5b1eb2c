// HTTP_REQUEST: sends any request and keeps the answer. http-exchange.ts says what counts as one.
//
// Nothing here makes a POST harmless to repeat: `Idempotency-Key` lets the other end do so.

import { z } from 'zod';
import { defineExecutor } from './executor.ts';
import {
  answerShape,
  attemptTimeout,
  exchange,
  EXCHANGE_MS,
  requestHeaders,
} from './http-exchange.ts';
import { httpUrl } from './http-url.ts';

const BODY_METHODS = ['POST', 'PUT', 'PATCH', 'DELETE'] as const;
const METHODS = ['GET', 'HEAD', ...BODY_METHODS] as const;
const MAX_HEADERS = 64;
const MAX_HEADER_CHARACTERS = 8_192;

/** What belongs to the connection, to the body's framing or to the command. */
const RESERVED_HEADERS = [
  'agent-executor-attempt',
  'connection',
  'content-length',
  'expect',
  'host',
  'idempotency-key',
  'keep-alive',
  'proxy-.*',
  // fetch says it itself.
  'sec-fetch-mode',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];
// JSON Schema's patterns know no flags.
const RESERVED = RESERVED_HEADERS.join('|').replaceAll(/[a-z]/g, (c) => `[${c}${c.toUpperCase()}]`);
const HEADER_NAME = new RegExp(`^(?!(?:${RESERVED})$)[!#$%&'*+.^_\`|~0-9A-Za-z-]{1,128}$`);
/** What a header can carry: latin1 without controls but the tab. */
const HEADER_VALUE = /^[\t -~\u0080-\u00ff]*$/;

const headers = z
  .record(
    z.string().regex(HEADER_NAME, 'no header that a command may set'),
    z.string().max(MAX_HEADER_CHARACTERS).regex(HEADER_VALUE, 'expected printable latin1'),
  )
  .refine((all) => Object.keys(all).length <= MAX_HEADERS, `at most ${MAX_HEADERS} headers`)
  .meta({ maxProperties: MAX_HEADERS, description: 'headers to send' });

const payload = z
  .strictObject({
    url: httpUrl.describe('where to'),
    method: z.enum(METHODS).default('GET'),
    headers: headers.optional(),
    body: z
      .unknown()
      .optional()
      .describe('a text goes out as it is, anything else but null as JSON'),
  })
  .refine(({ method, body }) => (body ?? null) === null || hasBody(method), {
    path: ['body'],
    error: 'GET and HEAD have no body',
  })
  // The same rule as JSON Schema: no body, or a method that has one.
  .meta({
    anyOf: [
      { properties: { body: { type: 'null' } } },
      { properties: { method: { enum: [...BODY_METHODS] } }, required: ['method'] },
    ],
  });

const result = z.strictObject({
  ...answerShape,
  headers: z
    .record(z.string(), z.string())
    .describe('by lower-case name; several of one name are joined by a comma'),
});

/** The executor, with a total time of its own for tests. */
export function createHttpRequest({ timeoutMs = EXCHANGE_MS } = {}) {
  return defineExecutor({
    type: 'HTTP_REQUEST',
    description:
      'Sends an HTTP request and keeps the status, headers and up to 100 KB of the body.',
    payload,
    result,
    timeout: attemptTimeout(timeoutMs),

    async execute({ url, method, headers: own, body }, context) {
      const headers = requestHeaders(context, own);
      const text = bodyText(body);
      const isJson = text !== null && typeof body !== 'string';
      if (isJson && !headers.has('content-type')) headers.set('content-type', 'application/json');
      const { signal } = context;
      return await exchange({ url, method, headers, body: text }, { signal, timeoutMs });
    },
  });
}

export const httpRequest = createHttpRequest();

function hasBody(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD';
}

function bodyText(body: unknown): string | null {
  if (body === undefined || body === null) return null;
  return typeof body === 'string' ? body : JSON.stringify(body);
}
