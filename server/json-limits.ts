// JSON that parses, and still must not be taken in: what jsonb cannot hold (NUL, half a surrogate
// pair), what JSON.parse could not represent (1e400), what attacks those who copy objects
// (`__proto__`) or recurse over them (depth). The walk is bounded by the size of the body.

import { jsonPointer } from './json-pointer.ts';
import { Problem } from './problem.ts';

const MAX_DEPTH = 64;

/** Results may be nested deeper than what is submitted: agents keep them up to 512, and reports go around. */
export const MAX_RESULT_DEPTH = 520;

/** @throws Problem 400 that points at the first thing refused. */
export function assertAcceptableJson(value: unknown, maxDepth = MAX_DEPTH): void {
  visit(value, [], maxDepth);
}

// `path` is one array, pushed and popped on the way: a pointer is only made when it's needed. Nothing is
// made of a member either: a body can hold millions.
function visit(value: unknown, path: PropertyKey[], maxDepth: number): void {
  if (typeof value === 'string') assertText(value, path);
  else if (typeof value === 'number') assertNumber(value, path);
  else if (Array.isArray(value)) visitItems(value, path, maxDepth);
  else if (typeof value === 'object' && value !== null)
    visitMembers(value as Record<string, unknown>, path, maxDepth);
}

function visitItems(array: unknown[], path: PropertyKey[], maxDepth: number): void {
  assertDepth(path, maxDepth);
  for (let i = 0; i < array.length; i += 1) {
    path.push(i);
    visit(array[i], path, maxDepth);
    path.pop();
  }
}

function visitMembers(
  object: Record<string, unknown>,
  path: PropertyKey[],
  maxDepth: number,
): void {
  assertDepth(path, maxDepth);
  for (const key of Object.keys(object)) {
    path.push(key);
    assertKey(key, path);
    visit(object[key], path, maxDepth);
    path.pop();
  }
}

function assertDepth(path: PropertyKey[], maxDepth: number): void {
  if (path.length === maxDepth) refuse(path, `JSON may be nested ${maxDepth} deep`);
}

function assertNumber(number: number, path: PropertyKey[]): void {
  if (!Number.isFinite(number)) refuse(path, 'this number is beyond the range of a double');
}

function assertKey(key: string, path: PropertyKey[]): void {
  if (key === '__proto__') refuse(path, 'this name is not allowed');
  assertText(key, path);
}

function assertText(text: string, path: PropertyKey[]): void {
  if (text.includes('\0')) refuse(path, 'text must not contain \\u0000');
  if (!text.isWellFormed()) refuse(path, 'text must not contain half a surrogate pair');
}

function refuse(path: PropertyKey[], detail: string): never {
  const errors = [{ pointer: jsonPointer(path), detail }];
  throw new Problem(400, 'unacceptable_json', `The body cannot be accepted: ${detail}.`, {
    errors,
  });
}
