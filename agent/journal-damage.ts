// How damage to the journal is found. SQLite guards its write-ahead log with checksums, so that a torn
// end is merely not there; the file itself it trusts.

import { statSync } from 'node:fs';

/** The file holds something else than what was written. */
export class JournalDamagedError extends Error {
  override name = 'JournalDamagedError';
}

const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

/** Whether an error says that the journal is damaged, which does not pass. */
export function isDamage(error: unknown): boolean {
  if (error instanceof JournalDamagedError) return true;
  if (!(error instanceof Error && 'errcode' in error)) return false;
  // The low byte is the code, the rest is detail.
  const code = Number(error.errcode) & 0xff;
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}

const PAGE_BYTES = 4_096;

/**
 * Finds what SQLite takes for a new database, and would begin anew: a file that was cut off within its
 * first page, or emptied while its log was not.
 *
 * @throws JournalDamagedError
 */
export function refuseRemains(path: string): void {
  const bytes = size(path);
  if (bytes >= PAGE_BYTES || (bytes === 0 && size(`${path}-wal`) === 0)) return;
  throw new JournalDamagedError(`it has ${bytes} bytes`);
}

/** Takes what `pragma quick_check` answers. @throws JournalDamagedError */
export function refuseUnsound(answer: unknown): void {
  if (answer !== 'ok') throw new JournalDamagedError(String(answer).replaceAll(/\s+/g, ' '));
}

function size(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
