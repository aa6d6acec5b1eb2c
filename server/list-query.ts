// The query of `GET /commands` and `GET /events`: what clients ask for, checked, and the link to the
// next page.

import { z } from 'zod';
import type { CommandFilter } from '../db/command-filter.ts';
import { COMMAND_STATUSES, type PagePosition } from '../db/command-json.ts';
import type { PageQuery } from '../db/command-walks.ts';
import {
  decodeCursor,
  decodeLogCursor,
  encodeCursor,
  encodeLogCursor,
  type LogPosition,
} from './cursor.ts';
import { exactTime } from './exact-time.ts';
import { oneOf, pageLimit, parseQuery, someOf, text, uuid } from './query.ts';

const REPEATABLE = ['status'];
const ORDERS = { '-createdAt': 'newestFirst', createdAt: 'oldestFirst' } as const;

/** What commands are narrowed by, wherever that is asked for. Several statuses: one of them. */
export const filterShape = {
  status: someOf(COMMAND_STATUSES).exactOptional(),
  type: text.exactOptional(),
  queue: text.exactOptional(),
  agentId: text.exactOptional(),
  tag: text.exactOptional(),
  batchId: uuid.exactOptional(),
  retryOf: uuid.exactOptional(),
  createdAfter: exactTime.exactOptional(),
  createdBefore: exactTime.exactOptional(),
};

const limit = pageLimit(50, 200);
const cursor = z
  .string()
  .transform((text, ctx) => known(decodeCursor(text), ctx))
  .exactOptional();
const sort = oneOf(['-createdAt', 'createdAt']).default('-createdAt');

export const listQuery = z.strictObject({ ...filterShape, sort, limit, cursor });
export const eventsQuery = z.strictObject({ ...filterShape, limit });

/** @throws Problem 400 that names every parameter that is wrong, unknown or there twice. */
export function parseListQuery(querystring: string): PageQuery {
  const parsed = parseQuery(listQuery, querystring, { repeatable: REPEATABLE });
  const { limit: most, cursor: after, sort: by, ...filter } = parsed;
  return { filter, order: ORDERS[by], limit: most, ...(after && { after }) };
}

/** The newest commands that match, and then what changes. @throws as above. */
export function parseEventsQuery(querystring: string): PageQuery {
  const parsed = parseQuery(eventsQuery, querystring, { repeatable: REPEATABLE });
  const { limit: most, ...filter } = parsed;
  return { filter, limit: most };
}

/** A `Link` to the page after `next`: relative, so that a path prefix in front does no harm. */
export function nextPageLink(
  { filter, order, limit: most }: PageQuery,
  next: PagePosition,
): string {
  const parameters = filterParameters(filter);
  if (order === 'oldestFirst') parameters.set('sort', 'createdAt');
  parameters.set('limit', String(most));
  parameters.set('cursor', encodeCursor(next));
  return `<?${parameters.toString()}>; rel="next"`;
}

export const logQuery = z.strictObject({
  limit: pageLimit(200, 1_000),
  cursor: z
    .string()
    .transform((text, ctx) => known(decodeLogCursor(text), ctx))
    .exactOptional(),
});

/** The query of `GET /commands/:id/logs`. @throws as above. */
export function parseLogQuery(querystring: string): { limit: number; after?: LogPosition } {
  const { limit: most, cursor: after } = parseQuery(logQuery, querystring);
  return { limit: most, ...(after && { after }) };
}

export function nextLinesLink(most: number, last: LogPosition): string {
  return `<?limit=${most}&cursor=${encodeLogCursor(last)}>; rel="next"`;
}

function filterParameters(filter: CommandFilter): URLSearchParams {
  return new URLSearchParams(
    Object.entries(filter).map(([name, value]): [string, string] => [name, String(value)]),
  );
}

function known<T>(position: T | undefined, ctx: z.core.$RefinementCtx<string>): T {
  if (position) return position;
  ctx.issues.push({ code: 'custom', input: ctx.value, message: 'expected a cursor from a Link' });
  return z.NEVER;
}
