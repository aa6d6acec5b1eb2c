// An agent's identity on disk: DATA_DIR/agent-<id>/journal.db, locked by the process that is this
// agent. The lock is SQLite's, which the kernel drops when the process dies, however it dies.

import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ConfigError } from '../runtime/environment.ts';

export interface Journal {
  agentId: string;
  close(): void;
}

/**
 * Opens the journal of `agentId`; without one, adopts a journal of `dataDir` that nobody uses (an
 * agent that died or stopped lives on), else starts a new one under a new id.
 *
 * @throws ConfigError when another process uses the journal of `agentId`, or nothing can be written.
 */
export function openJournal(dataDir: string, agentId?: string): Journal {
  if (agentId !== undefined) {
    const journal = tryOpen(dataDir, agentId);
    if (journal) return journal;
    throw new ConfigError(
      `Agent ${agentId} runs already: another process uses its journal in ${dataDir}.`,
    );
  }
  for (const candidate of knownAgents(dataDir)) {
    const journal = tryOpen(dataDir, candidate);
    if (journal) return journal;
  }
  // An agent that starts at the same moment may adopt the new journal before it is locked here.
  for (let tries = 0; tries < 10; tries += 1) {
    const journal = tryOpen(dataDir, newAgentId());
    if (journal) return journal;
  }
  throw new ConfigError(`Cannot lock a new journal in ${dataDir}.`);
}

function newAgentId(): string {
  const host = hostname()
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 40);
  return `${host}-${randomBytes(4).toString('hex')}`;
}

function knownAgents(dataDir: string): string[] {
  try {
    return readdirSync(dataDir)
      .map((name) => /^agent-([A-Za-z0-9._-]{1,64})$/.exec(name)?.[1])
      .filter((id) => id !== undefined)
      .sort();
  } catch {
    return [];
  }
}

function tryOpen(dataDir: string, agentId: string): Journal | undefined {
  const dir = join(dataDir, `agent-${agentId}`);
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const database = new DatabaseSync(join(dir, 'journal.db'));
    try {
      database.exec('pragma locking_mode = exclusive; pragma journal_mode = wal');
      // The first write takes the lock, and exclusive locking keeps it.
      database.exec(`
        create table if not exists journal (agent_id text not null);
        begin immediate;
        commit;
      `);
    } catch (error) {
      database.close();
      throw error;
    }
    return { agentId, close: () => database.close() };
  } catch (cause) {
    if (isLocked(cause)) return undefined;
    throw new ConfigError(`Cannot use the journal in ${dir}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

const SQLITE_BUSY = 5;

function isLocked(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY;
}
