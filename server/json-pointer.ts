const MAX_SEGMENT_LENGTH = 100;

/**
 * A JSON pointer in its URI fragment form (RFC 6901 §6), such as `#/payload/ms`.
 *
 * Whatever a client names its members, the outcome is short and plain ASCII: a long name is cut,
 * half a surrogate pair becomes U+FFFD.
 */
export function jsonPointer(path: readonly PropertyKey[]): string {
  return `#${path.map(segment).join('')}`;
}

/** The segments of a plain JSON pointer such as `/urls/0`. */
export function pointerSegments(pointer: string): string[] {
  const segments = pointer.split('/').slice(1);
  return segments.map((text) => text.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function segment(key: PropertyKey): string {
  const text = String(key).slice(0, MAX_SEGMENT_LENGTH).toWellFormed();
  const escaped = text.replaceAll('~', '~0').replaceAll('/', '~1');
  return `/${encodeURI(escaped).replaceAll('#', '%23')}`;
}
