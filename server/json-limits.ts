// JSON that parses, and still must not be taken in: what jsonb cannot hold (NUL, half a surrogate
// pair), what JSON.parse could not represent (1e400), what attacks those who copy objects
// (`__proto__`) or recurse over them (depth). The walk is bounded by the size of the body.

import { jsonPointer } from './json-pointer.ts';
import { Problem } from './problem.ts';

const MAX_DEPTH = 64;

/** @throws Problem 400 that points at the first thing refused. */
export function assertAcceptableJson(value: unknown): void {
  visit(value, []);
}

// `path` is one array, pushed and popped on the way: a pointer is only made when it's needed.
function visit(value: unknown, path: PropertyKey[]): void {
  if (typeof value === 'string') assertText(value, path);
  else if (typeof value === 'number' && !Number.isFinite(value))
    refuse(path, 'this number is beyond the range of a double');
  else if (typeof value === 'object' && value !== null) visitMembers(value, path);
}

function visitMembers(value: object, path: PropertyKey[]): void {
  if (path.length === MAX_DEPTH) refuse(path, `JSON may be nested ${MAX_DEPTH} deep`);
  const isArray = Array.isArray(value);
  for (const [key, member] of Object.entries(value)) {
    path.push(key);
    if (!isArray) assertKey(key, path);
    visit(member, path);
    path.pop();
  }
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
