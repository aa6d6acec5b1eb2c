// Query strings: each parameter once (unless it may repeat), each one known, each one checked.

import { z } from 'zod';
import { jsonPointer } from './json-pointer.ts';
import { parse } from './parse.ts';
import { Problem } from './problem.ts';

const WRONG_QUERY = { at: ['query'], code: 'invalid_query', detail: 'The query is not valid.' };

/** A name or an id that a list is narrowed by. */
export const text = z
  .string()
  .min(1, 'expected some text')
  .max(200, 'expected at most 200 characters')
  .refine((value) => !value.includes('\0'), 'expected no NUL');

/** The id of a command or a batch. */
export const uuid = z.guid('expected a UUID').toLowerCase();

/** How many items a page has: from 1; more than `most` is `most`. */
export function pageLimit(usual: number, most: number) {
  return z
    .string()
    .regex(/^0*[1-9]\d*$/, 'expected a whole number from 1')
    .transform((digits) => Math.min(Number(digits), most))
    .default(usual)
    .meta({
      type: 'integer',
      minimum: 1,
      description: `${usual} unless said; more than ${most} is ${most}.`,
    });
}

/** One of a few words. */
export function oneOf<const T extends readonly string[]>(words: T) {
  return z.enum(words, `expected one of ${words.join(', ')}`);
}

/** Some of a few words, with commas between. */
export function someOf<const T extends readonly string[]>(words: T) {
  const known = oneOf(words);
  return z.string().transform((list, ctx): T[number][] => {
    const parsed = z.array(known).safeParse(list.split(','));
    if (parsed.success) return [...new Set(parsed.data)];
    ctx.issues.push({
      code: 'custom',
      input: list,
      message: `expected some of ${words.join(', ')}`,
    });
    return z.NEVER;
  });
}

/** @throws Problem 400 that names every parameter that is wrong or unknown, or one there twice. */
export function parseQuery<T>(
  schema: z.ZodType<T>,
  querystring: string,
  options: { repeatable?: readonly string[] } = {},
): T {
  const parameters = new URLSearchParams(querystring);
  return parse(schema, singleParameters(parameters, options.repeatable ?? []), WRONG_QUERY);
}

/** @throws Problem 400 that names every parameter there is. */
export function assertNoQuery({ querystring }: { querystring: string }): void {
  parseQuery(z.strictObject({}), querystring);
}

/** A parameter that may repeat has its values joined by commas, as others write them. */
function singleParameters(
  parameters: URLSearchParams,
  repeatable: readonly string[],
): Record<string, string> {
  const seen = new Set<string>();
  for (const name of parameters.keys()) {
    if (seen.has(name) && !repeatable.includes(name)) throw repeated(name);
    seen.add(name);
  }
  return Object.fromEntries(
    Array.from(seen, (name) => [name, parameters.getAll(name).join(',')] as const),
  );
}

function repeated(name: string): Problem {
  const errors = [{ pointer: jsonPointer(['query', name]), detail: 'given more than once' }];
  return new Problem(400, WRONG_QUERY.code, WRONG_QUERY.detail, { errors });
}
