// A place in a list, as clients hold it between two pages: opaque to them, exact for us. It names
// the last row they saw, so rows that arrive meanwhile neither repeat nor hide anything.

import { z } from 'zod';
import type { PagePosition } from '../db/commands.ts';

// What a forged cursor says must not fail as a query: years and zones that Postgres knows, no more.
const TIMESTAMP = /^[12]\d{3}-[\d-]{5}[ T][\d:]{8}(\.\d{1,6})?(Z|[+-](0\d|1[0-4])(:[0-5]\d)?)$/;

const position = z.tuple([z.string().regex(TIMESTAMP).refine(isOnCalendar), z.guid()]);

/** The cursor, safe in a URL as it stands. */
export function encodeCursor({ createdAt, id }: PagePosition): string {
  return Buffer.from(JSON.stringify([createdAt, id])).toString('base64url');
}

/** The position in a cursor, or undefined when it's none of ours. */
export function decodeCursor(cursor: string): PagePosition | undefined {
  const parsed = position.safeParse(parseJson(Buffer.from(cursor, 'base64url').toString()));
  return parsed.success ? { createdAt: parsed.data[0], id: parsed.data[1] } : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isOnCalendar(timestamp: string): boolean {
  const local = timestamp.slice(0, 19).replace(' ', 'T');
  return z.iso.datetime({ local: true }).safeParse(local).success;
}
