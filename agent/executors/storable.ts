// What jsonb can hold. A report that Postgres refuses would be retried for ever, so a result is made
// storable, or refused for good, before it leaves the executor.
//
// Everything is done on the JSON text, which costs little (thousands of results a second pass here)
// and recurses nowhere in our code: JSON.stringify ends too deep a nesting with a RangeError, and
// JSON.parse knows no such limit.

/** A result deeper, or longer as JSON, than this is refused. */
export const MAX_DEPTH = 512;
export const MAX_BYTES = 1_048_576;

/** A value that cannot be stored as JSON; the message says why. */
export class UnstorableError extends Error {
  override name = 'UnstorableError';
}

/**
 * A plain copy of a value, as JSON has it: NUL and lone surrogates, in strings and in keys, are
 * U+FFFD; `undefined` is null.
 *
 * @throws UnstorableError for cycles, BigInt, NaN and infinities, depth and size.
 */
export function toStorable(value: unknown): unknown {
  const text = withoutUnstorableCharacters(toJson(value));
  if (Buffer.byteLength(text) > MAX_BYTES) {
    throw new UnstorableError(`longer than ${MAX_BYTES} bytes as JSON`);
  }
  const plain: unknown = JSON.parse(text);
  // Each level costs two characters, which spares most results the look.
  if (text.length > 2 * MAX_DEPTH && isDeeperThan(plain, MAX_DEPTH)) {
    throw new UnstorableError(`nested more than ${MAX_DEPTH} levels deep`);
  }
  return plain;
}

/** A text with U+FFFD for NUL and lone surrogates. */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\uFFFD');
}

function toJson(value: unknown): string {
  try {
    const text = JSON.stringify(value) ?? 'null';
    // NaN and the infinities are `null` there. A replacer is slow, so only where there is a null.
    return text.includes('null') ? (JSON.stringify(value, refuseNonFinite) ?? 'null') : text;
  } catch (cause) {
    if (cause instanceof UnstorableError) throw cause;
    if (cause instanceof RangeError) {
      throw new UnstorableError('nested too deep or too long', { cause });
    }
    throw new UnstorableError('not expressible as JSON', { cause });
  }
}

function refuseNonFinite(_key: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new UnstorableError(`holds the number ${value}, which JSON cannot express`);
  }
  return value;
}

// JSON.stringify writes surrogate pairs as they are, so a surrogate that is escaped is a lone one.
// Escapes are matched one after the other: the `\u0000` in `\\u0000` is text behind a backslash.
const ESCAPE = /\\(?:u0000|ud[89a-f][\da-f]{2}|.)/g;

function withoutUnstorableCharacters(json: string): string {
  if (!json.includes('\\u0000') && !json.includes('\\ud')) return json;
  return json.replaceAll(ESCAPE, (escape) => (escape.length > 2 ? '\uFFFD' : escape));
}

/** Level by level instead of by recursion. A scalar has depth 0, an empty array 1. */
function isDeeperThan(value: unknown, maxDepth: number): boolean {
  let level = [value].filter(isContainer);
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > maxDepth) return true;
    level = level.flatMap((container): unknown[] => Object.values(container)).filter(isContainer);
  }
  return false;
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
