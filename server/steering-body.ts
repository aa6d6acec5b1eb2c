// What `POST /commands/cancel` and `/retry` take: the ids of commands, or a filter as in the list.

import type { ParameterizedContext } from 'koa';
import { z } from 'zod';
import type { CommandFilter } from '../db/command-filter.ts';
import type { CommandStatus } from '../db/command-json.ts';
import { readJson, readOptionalJson } from './body.ts';
import { filterShape } from './list-query.ts';
import { parse } from './parse.ts';
import { oneOf, uuid } from './query.ts';
import { MAX_PAGE } from './steering.ts';

/** What is considered: all that has not ended, and what has not COMPLETED. */
const STATUSES = {
  cancel: ['SCHEDULED', 'BLOCKED', 'PENDING', 'RUNNING'],
  retry: ['FAILED', 'CANCELLED'],
} as const satisfies Record<string, readonly CommandStatus[]>;

const WRONG_BODY = { at: [], code: 'invalid_body', detail: 'This is not what the route takes.' };
const EXPECTED = 'expected an object with either ids or filter';

const ids = z
  .array(uuid, 'expected an array of ids')
  .min(1, 'expected at least one id')
  .max(MAX_PAGE, `expected at most ${MAX_PAGE} ids`)
  .meta({ description: `Of commands: 1 to ${MAX_PAGE}.` });

/** The bodies, by verb. */
export const targets = {
  cancel: targetsAmong(STATUSES.cancel),
  retry: targetsAmong(STATUSES.retry),
};

/** An object without members, which may be left out. */
export const noBody = z.strictObject({}, 'expected no body, or an object without members');

/** Commands to steer: these, or those that match. */
export type Targets = { ids: string[] } | { filter: CommandFilter };

/** @throws Problem 400, 413 or 415. */
export async function readTargets(
  ctx: ParameterizedContext,
  verb: keyof typeof targets,
): Promise<Targets> {
  const { ids, filter } = parse(targets[verb], await readJson(ctx), WRONG_BODY);
  if (ids) return { ids: [...new Set(ids)] };
  return { filter: { ...filter, status: filter?.status ?? [...STATUSES[verb]] } };
}

/** @throws Problem 400, 413 or 415. */
export async function assertNoBody(ctx: ParameterizedContext): Promise<void> {
  const body = await readOptionalJson(ctx);
  if (body !== undefined) parse(noBody, body, WRONG_BODY);
}

function targetsAmong(words: readonly CommandStatus[]) {
  const status = oneOf(words);
  const statuses = z
    .union([status, z.array(status).min(1).max(words.length)], `expected ${listOf(words)}`)
    .transform((given) => [given].flat());
  const filter = z
    .strictObject({ ...filterShape, status: statuses.exactOptional() }, 'expected a filter')
    .refine((given) => Object.keys(given).length > 0, 'expected at least one member')
    .meta({ description: 'As in the list.', minProperties: 1 });
  return z
    .strictObject({ ids: ids.exactOptional(), filter: filter.exactOptional() }, EXPECTED)
    .refine((given) => Object.keys(given).length === 1, EXPECTED)
    .meta({ oneOf: [{ required: ['ids'] }, { required: ['filter'] }] });
}

function listOf(words: readonly string[]): string {
  return `one of ${words.join(', ')}, or a list of them`;
}
