// A lock between processes that dies with its holder: the kernel drops it when the process ends,
// however it ends, so nothing stale is ever left to judge. Node offers no file locks of its own;
// SQLite's are the system's, and an empty database makes a fine lock file.

import { DatabaseSync } from 'node:sqlite';

const SQLITE_BUSY = 5;

export interface FileLock {
  release(): void;
}

/** Takes the lock; undefined while somebody else, in this process or another, holds it. */
export function lockFile(path: string): FileLock | undefined {
  const database = new DatabaseSync(path);
  try {
    // In memory, so that no journal file appears beside the lock.
    database.exec('pragma journal_mode = memory; begin exclusive');
  } catch (error) {
    database.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY)
      return undefined;
    throw error;
  }
  return { release: () => database.close() };
}
