// A place in a list, as clients hold it between two pages: opaque to them, exact for us. It names
// the last row they saw, so rows that arrive meanwhile neither repeat nor hide anything.

import { z } from 'zod';
import type { PagePosition } from '../db/command-json.ts';

// What a forged cursor says must not fail as a query: years that Postgres knows, no more.
const TIMESTAMP = /^[1-9]\d{3}-[\d-]{5}T[\d:]{8}\.\d{6}Z$/;

const position = z.tuple([z.string().regex(TIMESTAMP).refine(isOnCalendar), z.guid()]);
const line = z.tuple([
  z
    .int()
    .min(0)
    .max(2 ** 31 - 1),
  z
    .int()
    .min(0)
    .max(2 ** 31 - 1),
]);

/** The cursor, safe in a URL as it stands. */
export function encodeCursor({ createdAt, id }: PagePosition): string {
  return encode([createdAt, id]);
}

/** The position in a cursor, or undefined when it's none of ours. */
export function decodeCursor(cursor: string): PagePosition | undefined {
  const parsed = position.safeParse(decode(cursor));
  return parsed.success ? { createdAt: parsed.data[0], id: parsed.data[1] } : undefined;
}

/** A place in a command's log. */
export interface LogPosition {
  attempt: number;
  no: number;
}

export function encodeLogCursor({ attempt, no }: LogPosition): string {
  return encode([attempt, no]);
}

export function decodeLogCursor(cursor: string): LogPosition | undefined {
  const parsed = line.safeParse(decode(cursor));
  return parsed.success ? { attempt: parsed.data[0], no: parsed.data[1] } : undefined;
}

function encode(place: unknown[]): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

function decode(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    return undefined;
  }
}

function isOnCalendar(timestamp: string): boolean {
  return z.iso.datetime({ local: true }).safeParse(timestamp.slice(0, 19)).success;
}
