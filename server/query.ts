// Query strings: each parameter once, each one known, each one checked.

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

/** One of a few words. */
export function oneOf<const T extends readonly string[]>(words: T) {
  return z.enum(words, `expected one of ${words.join(', ')}`);
}

/** @throws Problem 400 that names every parameter that is wrong or unknown, or one there twice. */
export function parseQuery<T>(schema: z.ZodType<T>, querystring: string): T {
  return parse(schema, singleParameters(new URLSearchParams(querystring)), WRONG_QUERY);
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
