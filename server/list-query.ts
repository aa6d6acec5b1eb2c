// The query of `GET /commands`: what clients ask for, checked, and the link to the next page.

import { z } from 'zod';
import { COMMAND_STATUSES, type CommandFilter, type PagePosition } from '../db/commands.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { jsonPointer } from './json-pointer.ts';
import { parse } from './parse.ts';
import { Problem } from './problem.ts';

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

const WRONG_QUERY = { at: ['query'], code: 'invalid_query', detail: 'The query is not valid.' };

const text = z
  .string()
  .min(1, 'expected some text')
  .max(200, 'expected at most 200 characters')
  .refine((value) => !value.includes('\0'), 'expected no NUL');

const listQuery = z.strictObject({
  status: z
    .enum(COMMAND_STATUSES, `expected one of ${COMMAND_STATUSES.join(', ')}`)
    .exactOptional(),
  type: text.exactOptional(),
  agentId: text.exactOptional(),
  limit: z
    .string()
    .regex(/^0*[1-9]\d*$/, 'expected a whole number from 1')
    .transform((digits) => Math.min(Number(digits), MAX_LIMIT))
    .default(DEFAULT_LIMIT),
  cursor: z.string().transform(toPosition).exactOptional(),
});

export interface ListQuery {
  filter: CommandFilter;
  limit: number;
  after?: PagePosition;
}

/** @throws Problem 400 that names every parameter that is wrong, unknown or there twice. */
export function parseListQuery(querystring: string): ListQuery {
  const parameters = singleParameters(new URLSearchParams(querystring));
  const { limit, cursor, ...filter } = parse(listQuery, parameters, WRONG_QUERY);
  return { filter, limit, ...(cursor && { after: cursor }) };
}

/** A `Link` to the page after `next`: relative, so that a path prefix in front does no harm. */
export function nextPageLink(query: ListQuery, next: PagePosition): string {
  const parameters = new URLSearchParams({ ...query.filter });
  parameters.set('limit', String(query.limit));
  parameters.set('cursor', encodeCursor(next));
  return `<?${parameters.toString()}>; rel="next"`;
}

function singleParameters(parameters: URLSearchParams): Record<string, string> {
  const seen = new Set<string>();
  for (const name of parameters.keys()) {
    if (seen.has(name)) throw repeated(name);
    seen.add(name);
  }
  return Object.fromEntries(parameters);
}

function repeated(name: string): Problem {
  const errors = [{ pointer: jsonPointer(['query', name]), detail: 'given more than once' }];
  return new Problem(400, WRONG_QUERY.code, WRONG_QUERY.detail, { errors });
}

function toPosition(cursor: string, ctx: z.core.$RefinementCtx): PagePosition {
  const position = decodeCursor(cursor);
  if (position) return position;
  ctx.issues.push({ code: 'custom', input: cursor, message: 'expected a cursor from a Link' });
  return z.NEVER;
}
