// Turns whatever was thrown into one bounded text that can be stored: its message and its causes'.

import { inspect } from 'node:util';
import { storableText } from './storable.ts';

const MAX_CHARACTERS = 10_000;
const MAX_CAUSES = 10;
const MAX_MEMBERS = 10;

/** Never throws, however odd the thrown value is. */
export function describeError(error: unknown): string {
  try {
    return boundedText(causeChain(error) || 'an error without a message');
  } catch {
    return 'an error that cannot be described';
  }
}

/** A text cut to so many characters that jsonb can hold. */
export function boundedText(text: string, maxCharacters = MAX_CHARACTERS): string {
  const cut = text.length > maxCharacters ? `${text.slice(0, maxCharacters - 1)}…` : text;
  return storableText(cut);
}

/** `outer: inner: innermost`; a cause that its wrapper quotes already is not repeated. */
function causeChain(error: unknown): string {
  let text = '';
  let cause = error;
  for (let count = 0; count < MAX_CAUSES; count++) {
    const message = ownMessage(cause).slice(0, MAX_CHARACTERS + 1);
    if (text === '') text = message;
    else if (!text.includes(message)) text += `: ${message}`;
    if (!(cause instanceof Error) || cause.cause === undefined) break;
    cause = cause.cause;
  }
  return text;
}

function ownMessage(error: unknown): string {
  if (typeof error === 'string') return error;
  if (!(error instanceof Error)) {
    return inspect(error, { depth: 2, breakLength: Infinity, maxStringLength: MAX_CHARACTERS });
  }
  if (error.message) return error.message;
  // What connecting to each address of a name comes to has no message of its own.
  if (error instanceof AggregateError && error.errors.length > 0) {
    const members: unknown[] = error.errors.slice(0, MAX_MEMBERS);
    return members
      .map((member) => (member instanceof Error && member.message) || String(member))
      .join(', ');
  }
  return error.name;
}
