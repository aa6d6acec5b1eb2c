// An agent's identity on disk: the directory DATA_DIR/agent-<id>, locked by the process that is this
// agent. The kernel drops the lock when the process dies, however it dies.
//
// The lock is a file of its own, so that people can read the journal beside it while the agent works:
//
//   sqlite3 data/agent-<id>/journal.db 'select * from executed_commands'

import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { ConfigError } from '../runtime/environment.ts';
import { lockFile } from '../runtime/file-lock.ts';
import { isDamage } from './journal-damage.ts';
import { JournalFile } from './journal-file.ts';

export interface OpenJournal {
  agentId: string;
  file: JournalFile;
  close(): void;
}

/**
 * Opens the journal of `agentId`; without one, adopts a journal of `dataDir` that nobody uses (an
 * agent that died or stopped lives on), else starts a new one under a new id.
 *
 * @throws ConfigError when another process uses the journal of `agentId`, nothing can be written, or
 *   the journal is damaged: an id whose last outcomes are unknown must not be taken up unasked.
 */
export function openJournal(dataDir: string, agentId?: string): OpenJournal {
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

function tryOpen(dataDir: string, agentId: string): OpenJournal | undefined {
  const dir = join(dataDir, `agent-${agentId}`);
  try {
    makeDirectory(dir);
    const lock = lockFile(join(dir, 'lock'));
    if (!lock) return undefined;
    try {
      const file = new JournalFile(join(dir, 'journal.db'));
      const close = () => {
        file.close();
        lock.release();
      };
      return { agentId, file, close };
    } catch (error) {
      lock.release();
      throw error;
    }
  } catch (cause) {
    const why = (cause as Error).message;
    const message = isDamage(cause)
      ? `The journal of agent ${agentId} is damaged (${why}): move ${dir} away to start without it. ` +
        'What it had executed and not reported is executed again then.'
      : `Cannot use the journal in ${dir}: ${why}`;
    throw new ConfigError(message, { cause });
  }
}

/** A directory that is there after a power cut too: SQLite sees to what is in it, not to itself. */
function makeDirectory(dir: string): void {
  const first = mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  const stop = dirname(resolve(first));
  for (let parent = dirname(resolve(dir)); ; parent = dirname(parent)) {
    syncDirectory(parent);
    if (parent === stop) return;
  }
}

function syncDirectory(dir: string): void {
  // Windows syncs no directories, and does not need to.
  if (process.platform === 'win32') return;
  const descriptor = openSync(dir, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
