// The hammer's connections, one pool a purpose. Losing one is part of the game; a deadlock, a failed
// step of a tick, a mended row that nobody had damaged, or any other error is a violation.

import { DatabaseError } from 'pg';
import { connect, type Database } from '../../db/connect.ts';
import { isUnavailable } from '../../db/errors.ts';
import type { Record } from './record.ts';

/** What the terminator kills. */
export const VICTIM = 'hammer';

export interface Connections {
  /** Submits, reports, releases. */
  work: Database;
  claims: Database;
  /** Ticks and repairs; what they log is listened to. */
  scheduled: Database;
  /** Looks, damages and terminates; never terminated. */
  control: Database;
  close(): Promise<void>;
}

export function openConnections(url: string, record: Record): Connections {
  const open = (max: number, applicationName = VICTIM) => connect(url, { applicationName, max });
  const all = {
    work: open(16),
    claims: open(8),
    scheduled: open(5),
    control: open(4, 'hammer control'),
  };
  all.scheduled.pool.on('connect', (client) => {
    // Before whatever it was made for.
    client.query('set client_min_messages = log').catch(() => {});
    client.on('notice', ({ message }) => hear(record, message ?? ''));
  });
  return {
    ...all,
    close: async () => {
      await Promise.all(Object.values(all).map((database) => database.close()));
    },
  };
}

/** Answers what `call` answers; nothing when it lost its connection. */
export async function guard<T>(
  record: Record,
  what: string,
  call: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    if (isLoss(error)) record.count('connections lost');
    else record.violation(`${what}: ${describe(error)}`);
    return undefined;
  }
}

function isLoss(error: unknown): boolean {
  // A deadlock counts as unavailable elsewhere, and so does silence; here neither may be.
  const code = error instanceof DatabaseError ? error.code : undefined;
  if (code?.startsWith('40') || /timeout/i.test(String(error))) return false;
  return isUnavailable(error);
}

function describe(error: unknown): string {
  if (!(error instanceof DatabaseError)) return String(error);
  return [error.code, error.message, error.detail, error.where].filter(Boolean).join('\n    ');
}

function hear(record: Record, message: string): void {
  const mended = /agent-executor: command (\S+) is \w+ but its ticket was/.exec(message)?.[1];
  if (mended && record.forged.has(mended)) record.count('mended');
  else if (mended) record.violation(`mended without need: ${message}`, mended);
  else if (message.startsWith('agent-executor:')) record.violation(message);
}
