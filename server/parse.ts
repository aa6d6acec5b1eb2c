import type { z } from 'zod';
import { jsonPointer } from './json-pointer.ts';
import { type Fault, MAX_FAULTS, Problem } from './problem.ts';

/** Where a value comes from, and what its problem is called. */
export interface Source {
  /** What the pointers start with: `[]` for the body, `['query']` for the query. */
  at: readonly string[];
  code: string;
  detail: string;
}

/**
 * Checks a value that came from outside.
 *
 * @throws Problem 400 with a pointer for everything that is wrong.
 */
export function parse<T>(schema: z.ZodType<T>, value: unknown, source: Source): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.flatMap((issue) => faults(issue, source.at));
  throw new Problem(400, source.code, source.detail, { errors });
}

function faults(issue: z.core.$ZodIssue, at: readonly string[]): Fault[] {
  const path = [...at, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.slice(0, MAX_FAULTS);
    return keys.map((key) => ({ pointer: jsonPointer([...path, key]), detail: 'unknown' }));
  }
  return [{ pointer: jsonPointer(path), detail: issue.message }];
}
