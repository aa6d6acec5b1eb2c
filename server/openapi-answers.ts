// The parts that many operations share: headers, and the problems that they answer.

import { z } from 'zod';
import type { ZodOpenApiResponseObject, ZodOpenApiResponsesObject } from 'zod-openapi';
import { COMMAND_STATUSES } from '../db/command-json.ts';
import { NAME } from '../db/names.ts';
import { problem } from './openapi-schemas.ts';
import { noBody } from './steering-body.ts';

export const commandIdInPath = z.guid().meta({
  param: { id: 'CommandId' },
  description: 'The id of a command.',
});

export const agentIdInPath = z
  .string()
  .regex(NAME)
  .meta({
    param: { id: 'AgentId' },
    description: 'The id of an agent.',
  });

const requestId = z
  .string()
  .max(128)
  .meta({
    header: { id: 'X-Request-Id' },
    description: 'The id of this request in the log: the one that was sent, if it is a plain one.',
    example: '7f8de8cf-2a3c-4b58-9c0d-5f0d9a0f1f3e',
  });
const location = z.string().meta({
  header: { id: 'Location' },
  description: 'Where the command is, relative to this address.',
  example: 'commands/0198a0de-0000-7000-8000-000000000001',
});
const link = z
  .string()
  .optional()
  .meta({
    header: { id: 'Link' },
    description: 'The next page, if there may be one, relative to this address.',
    example: '<?limit=50&cursor=W10>; rel="next"',
  });
const retryAfter = z
  .string()
  .optional()
  .meta({
    header: { id: 'Retry-After' },
    description: 'Try again after so many seconds: it may help.',
    example: '2',
  });

const etag = z.string().meta({
  header: { id: 'ETag' },
  description: 'Of this version of what is answered.',
  example: 'W/"1893400200000000"',
});
const replayed = z
  .literal('true')
  .optional()
  .meta({
    header: { id: 'Idempotency-Replayed' },
    description: 'The idempotency key knew this submission already; nothing was submitted.',
  });
const optionalRequestId = z
  .string()
  .exactOptional()
  .meta({
    param: { id: 'XRequestId' },
    description: 'An id for this request in the log: letters, digits and `_.:-`, at most 128.',
  });

export const idempotencyKey = z
  .string()
  .min(1)
  .max(257)
  .exactOptional()
  .meta({
    param: { id: 'IdempotencyKey' },
    description:
      'The same request with the same key within 24 h is one submission. 1 to 255 printable ASCII ' +
      'characters, in double quotes or without.',
  });

export const ifNoneMatch = z
  .string()
  .exactOptional()
  .meta({
    param: { id: 'IfNoneMatch' },
    description: 'The `ETag` of the answer that the client has: 304 if there is no newer one.',
  });

export const lastEventId = z
  .string()
  .exactOptional()
  .meta({
    param: { id: 'LastEventId' },
    description: 'The id of the event that came last, as browsers send it when they connect again.',
  });

export const prefer = z
  .string()
  .exactOptional()
  .meta({
    param: { id: 'Prefer' },
    description: '`wait=N` does what the parameter `wait` does, which comes first.',
    example: 'wait=10',
  });

/** What every request may carry. */
export const anyRequest = { 'X-Request-Id': optionalRequestId };

const headers = {
  'X-Request-Id': requestId,
  Location: location,
  Link: link,
  'Retry-After': retryAfter,
  'Idempotency-Replayed': replayed,
  ETag: etag,
};
export type HeaderName = keyof typeof headers;

/** An answer in JSON, with the headers that it has beside the request's id. */
export function json(
  description: string,
  schema: z.ZodType,
  names: Exclude<HeaderName, 'X-Request-Id'>[] = [],
): ZodOpenApiResponseObject {
  return {
    description,
    headers: headersNamed(['X-Request-Id', ...names]),
    content: { 'application/json': { schema } },
  };
}

export const notModified: ZodOpenApiResponseObject = {
  id: 'NotModified',
  description: 'The client has this version.',
  headers: headersNamed(['X-Request-Id', 'ETag']),
};

/** What an operation takes that needs nothing but its address. */
export const bodyless = {
  description: 'None, or an object without members.',
  content: { 'application/json': { schema: noBody, example: {} } },
};

/** A stream of Server-Sent Events. */
export function events(description: string, example: string): ZodOpenApiResponseObject {
  return {
    description,
    headers: headersNamed(['X-Request-Id']),
    content: { 'text/event-stream': { schema: z.string(), example } },
  };
}

/** A query of commands, whose statuses may be several. */
export function severalStatuses<S extends z.ZodObject<{ status: z.ZodType }>>(query: S): S {
  const status = query.shape.status.meta({
    param: { explode: true },
    override: { type: 'array', items: { type: 'string', enum: [...COMMAND_STATUSES] } },
    description: 'One of these: the parameter is repeated, or names several with commas between.',
  });
  return query.extend({ status }) as unknown as S;
}

const PROBLEMS = {
  400: refusal('BadRequest', 'The request is wrong; `errors` says what and where.'),
  404: refusal('NotFound', 'There is nothing of this id or name.'),
  409: refusal('Conflict', 'What is there already does not allow this.', ['Retry-After']),
  413: refusal(
    'TooLarge',
    'The body is larger than what is taken here, mostly 1 MiB; `errors` says how much.',
  ),
  415: refusal('UnsupportedMediaType', 'The body is not plain JSON in UTF-8.'),
  422: refusal(
    'Unprocessable',
    'The idempotency key stands for another submission, or a result is not what its type promises.',
  ),
  503: refusal('Unavailable', 'The database does not answer, or too much is going on.', [
    'Retry-After',
  ]),
};

/** The problems that an operation may answer; all may answer 400 and 503, and what HTTP itself brings. */
export function problems(
  ...statuses: Exclude<keyof typeof PROBLEMS, 400 | 503>[]
): ZodOpenApiResponsesObject {
  const own = Object.fromEntries(statuses.map((status) => [status, PROBLEMS[status]]));
  return { 400: PROBLEMS[400], ...own, 503: PROBLEMS[503], default: OTHER };
}

const OTHER = refusal('OtherProblem', 'Whatever else goes wrong is said in the same way.');

function refusal(id: string, description: string, names: HeaderName[] = []) {
  return {
    id,
    description,
    headers: headersNamed(['X-Request-Id', ...names]),
    content: { 'application/problem+json': { schema: problem } },
  };
}

function headersNamed(names: HeaderName[]) {
  return z.object(Object.fromEntries(names.map((name) => [name, headers[name]])));
}
