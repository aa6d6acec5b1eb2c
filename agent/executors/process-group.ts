// Runs a program in a process group of its own, so that it can be ended with all that it started.
//
// When the attempt is aborted, the group gets SIGTERM and, 2 s later, SIGKILL. When the program ends,
// whatever it left in its group is killed: at once, or 0.5 s later if it holds the program's output,
// which is read to its end. When this process ends, in whatever way, group-watchdog.ts kills what runs. A
// process that leaves the group (setsid) is none of ours any more.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { GroupWatchdog } from './group-watchdog.ts';

const TERM_GRACE_MS = 2_000;
const OUTPUT_GRACE_MS = 500;

export interface Program {
  /** The file to run, and what the program is told that it is called. */
  file: string;
  argv0: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  cwd?: string | undefined;
  /** What it reads; nothing unless given. */
  stdin?: string | undefined;
  onStdout: (chunk: Buffer) => void;
  onStderr: (chunk: Buffer) => void;
}

/** How a program ended: one of the two. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

const groups = new Map<number, Promise<unknown>>();
const watchdog = new GroupWatchdog(() => groups.keys());

/** Resolves when the program has ended, aborted or not. Rejects when it could not be started. */
export async function runGroup(program: Program, signal: AbortSignal): Promise<Ended> {
  const child = start(program);
  const exited = once(child, 'exit');
  // Rejects as `exited` does.
  const closed = once(child, 'close').catch(() => undefined);
  const group = child.pid;
  if (group !== undefined) enlist(group, closed);
  let killTimer: NodeJS.Timeout | undefined;
  const terminate = () => {
    kill(group, 'SIGTERM');
    killTimer = setTimeout(() => kill(group, 'SIGKILL'), TERM_GRACE_MS);
  };
  signal.addEventListener('abort', terminate, { once: true });
  if (signal.aborted) terminate();
  try {
    const [code, killedBy] = (await exited) as [number | null, NodeJS.Signals | null];
    await within(closed, OUTPUT_GRACE_MS);
    // If this process was busy for all that time, what the program wrote has yet to be read.
    await nextTurn();
    return { code, signal: killedBy };
  } finally {
    signal.removeEventListener('abort', terminate);
    clearTimeout(killTimer);
    kill(group, 'SIGKILL');
    // What left the group may hold them.
    child.stdout?.destroy();
    child.stderr?.destroy();
    if (group !== undefined) discharge(group);
  }
}

/** Resolves when no group is left, or after so long. */
export async function groupsEnded(timeoutMs: number): Promise<void> {
  await within(Promise.all(groups.values()), timeoutMs);
}

function start({ file, args, argv0, env, cwd, ...program }: Program): ChildProcess {
  const stdin = program.stdin === undefined ? 'ignore' : 'pipe';
  const child = spawn(file, args, {
    argv0,
    env,
    cwd,
    detached: true,
    stdio: [stdin, 'pipe', 'pipe'],
  });
  child.stdout?.on('data', program.onStdout).on('error', () => {});
  child.stderr?.on('data', program.onStderr).on('error', () => {});
  // It need not read what it is told.
  child.stdin?.on('error', () => {}).end(program.stdin);
  return child;
}

function enlist(group: number, ended: Promise<unknown>): void {
  groups.set(group, ended);
  watchdog.watch(group);
}

function discharge(group: number): void {
  groups.delete(group);
  watchdog.forget(group);
}

/** Nothing may be left of it. */
function kill(group: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (group !== undefined) process.kill(-group, signal);
  } catch {}
}

async function within(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  const patience = Promise.withResolvers<void>();
  const timer = setTimeout(patience.resolve, timeoutMs);
  await Promise.race([work, patience.promise]);
  clearTimeout(timer);
}
