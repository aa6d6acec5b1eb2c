// What a launcher that was killed leaves behind: a server that still runs, or its lock file.
//
// The caller holds the launcher's lock, so whatever runs on the data directory belongs to nobody. It
// is stopped: a second server on the same files would destroy them. On Linux a process is known by
// its working directory, which for every process of Postgres is the data directory; that also finds
// backends that outlived their postmaster, and tells a postmaster from a stranger with its old pid.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../../runtime/log.ts';
import { StartupError } from '../errors.ts';

const POLL_MS = 20;

/** A program that npm replaced while it ran is marked `(deleted)`. */
const PROGRAMS = /^(postgres|initdb)( \(deleted\))?$/;

/** Each step is tried for so long before the next, harder one. */
const STEPS = [
  { signal: 'SIGINT', forMs: 10_000 },
  { signal: 'SIGQUIT', forMs: 5_000 },
  { signal: 'SIGKILL', forMs: 5_000 },
] as const;

/** Stops every process on the data directory; afterwards a server may start there. */
export async function stopOrphans(dataDir: string, log?: Logger): Promise<void> {
  for (const { signal, forMs } of STEPS) {
    const orphans = processesOn(dataDir);
    if (orphans.length === 0) break;
    log?.warn({ orphans, signal }, 'stopping a PostgreSQL whose launcher is gone');
    const postmaster = readPostmasterPid(dataDir);
    // The postmaster stops its own; without one, SIGTERM is what ends a backend.
    if (signal === 'SIGINT' && postmaster && orphans.includes(postmaster)) send(postmaster, signal);
    else for (const pid of orphans) send(pid, signal === 'SIGINT' ? 'SIGTERM' : signal);
    await untilNoneIsLeft(dataDir, forMs);
  }
  if (processesOn(dataDir).length > 0)
    throw new StartupError(`A PostgreSQL that runs on ${dataDir} does not stop.`);
  removeRecycledPid(dataDir);
}

async function untilNoneIsLeft(dataDir: string, forMs: number): Promise<void> {
  const deadline = performance.now() + forMs;
  while (processesOn(dataDir).length > 0 && performance.now() < deadline) await pause(POLL_MS);
}

function processesOn(dataDir: string): number[] {
  if (process.platform === 'linux') return linuxProcessesOn(dataDir);
  const pid = readPostmasterPid(dataDir);
  return pid && isAlive(pid) && commandLine(pid).includes(dataDir) ? [pid] : [];
}

function linuxProcessesOn(dataDir: string): number[] {
  const dir = statSync(dataDir, { throwIfNoEntry: false });
  if (!dir) return [];
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        const cwd = statSync(`/proc/${pid}/cwd`);
        const program = basename(readlinkSync(`/proc/${pid}/exe`));
        return cwd.ino === dir.ino && cwd.dev === dir.dev && PROGRAMS.test(program);
      } catch {
        return false; // Not a process, gone by now, or somebody else's.
      }
    });
}

// Postgres replaces the lock file of a dead postmaster, after a look for memory still in use. If the
// pid is now another process's it would refuse for ever.
function removeRecycledPid(dataDir: string): void {
  const pid = readPostmasterPid(dataDir);
  if (pid && isAlive(pid)) rmSync(join(dataDir, 'postmaster.pid'), { force: true });
}

function readPostmasterPid(dataDir: string): number | undefined {
  try {
    const [pid] = readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n');
    return Math.abs(Number(pid)) || undefined; // Negative in single-user mode.
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function commandLine(pid: number): string {
  try {
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
  } catch {
    return '';
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone in the meantime.
  }
}
