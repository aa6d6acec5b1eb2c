// The query of `GET /commands`: what clients ask for, checked, and the link to the next page.

import { z } from 'zod';
import { COMMAND_STATUSES } from '../db/command-json.ts';
import type { CommandFilter, PagePosition } from '../db/commands.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { oneOf, parseQuery, text } from './query.ts';

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

const listQuery = z.strictObject({
  status: oneOf(COMMAND_STATUSES).exactOptional(),
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
  const { limit, cursor, ...filter } = parseQuery(listQuery, querystring);
  return { filter, limit, ...(cursor && { after: cursor }) };
}

/** A `Link` to the page after `next`: relative, so that a path prefix in front does no harm. */
export function nextPageLink(query: ListQuery, next: PagePosition): string {
  const parameters = new URLSearchParams({ ...query.filter });
  parameters.set('limit', String(query.limit));
  parameters.set('cursor', encodeCursor(next));
  return `<?${parameters.toString()}>; rel="next"`;
}

function toPosition(cursor: string, ctx: z.core.$RefinementCtx): PagePosition {
  const position = decodeCursor(cursor);
  if (position) return position;
  ctx.issues.push({ code: 'custom', input: cursor, message: 'expected a cursor from a Link' });
  return z.NEVER;
}
