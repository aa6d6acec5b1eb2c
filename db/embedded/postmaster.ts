// One run of the server: from the start of its process to its end.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../../runtime/log.ts';
import { StartupError } from '../errors.ts';
import { ownName, spawnAs } from './account.ts';
import type { Cluster } from './cluster.ts';
import { complaint } from './run.ts';

export interface Postmaster {
  pid: number;
  /** How it ended, such as `exit code 1`. Never rejects. */
  exited: Promise<string>;
  /** Fast shutdown; after `graceMs` an immediate one, from which the next start recovers. */
  stop(graceMs: number): Promise<void>;
}

export interface PostmasterOptions {
  port: number;
  settings: Record<string, string>;
  log?: Logger | undefined;
  signal?: AbortSignal | undefined;
}

const POLL_MS = 20;

/** Crash recovery of what fits between two checkpoints takes seconds; a minute or two on a bad disk. */
const START_TIMEOUT_MS = 300_000;
const KILL_AFTER_MS = 5_000;
const LAST_WORDS_MS = 500;
const OUTPUT_LINES = 20;

/** Settings that the embedded server always has: this machine only, and no secrets in its log. */
const FIXED = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  log_destination: 'stderr',
  logging_collector: 'off',
  log_line_prefix: '',
  log_min_error_statement: 'panic',
};

/** @throws StartupError with Postgres's own complaint when it ends before it accepts connections. */
export async function startPostmaster(
  cluster: Cluster,
  options: PostmasterOptions,
): Promise<Postmaster> {
  const settings = { ...options.settings, ...FIXED, port: String(options.port) };
  const child = spawn(
    cluster.binaries.postgres,
    [
      '-D',
      ownName(cluster.account, cluster.dir),
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    { ...spawnAs(cluster.account, cluster.dir), stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const output = logOutput(child, options.log);
  const exited = ending(child);
  // However this process ends, short of SIGKILL, the server does not outlive it.
  const follow = () => child.kill('SIGINT');
  process.on('exit', follow);
  void exited.then(() => process.off('exit', follow));

  const postmaster = { pid: child.pid ?? 0, exited, stop: (ms: number) => stop(child, exited, ms) };
  const early = new AbortController();
  const failed = exited.then(async (how) => {
    early.abort();
    // What it said last may come in after its end.
    if (child.stderr) await Promise.race([finished(child.stderr), pause(LAST_WORDS_MS)]);
    throw new StartupError(`PostgreSQL did not start: ${complaint(output.join('\n')) ?? how}`);
  });
  const signals = options.signal ? [early.signal, options.signal] : [early.signal];
  const ready = untilReady(cluster.dir, postmaster.pid, AbortSignal.any(signals));
  try {
    await Promise.race([ready, failed]);
  } catch (error) {
    await postmaster.stop(KILL_AFTER_MS);
    throw error;
  }
  return postmaster;
}

// As pg_ctl does it: asking over the network would fill the log with refused connections.
async function untilReady(dir: string, pid: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadline) {
    signal.throwIfAborted();
    const lines = await readFile(join(dir, 'postmaster.pid'), 'utf8').then(
      (text) => text.split('\n'),
      () => [],
    );
    if (Number(lines[0]) === pid && lines[7]?.trim() === 'ready') return;
    await pause(POLL_MS);
  }
  throw new StartupError(`PostgreSQL was not ready after ${START_TIMEOUT_MS / 1000} s.`);
}

async function stop(child: ChildProcess, exited: Promise<string>, graceMs: number): Promise<void> {
  child.kill('SIGINT');
  const immediate = setTimeout(() => child.kill('SIGQUIT'), graceMs);
  const kill = setTimeout(() => child.kill('SIGKILL'), graceMs + KILL_AFTER_MS);
  await exited;
  clearTimeout(immediate);
  clearTimeout(kill);
}

async function ending(child: ChildProcess): Promise<string> {
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
    return signal ? `signal ${signal}` : `exit code ${code}`;
  } catch (error) {
    return (error as Error).message;
  }
}

// A message's further lines (DETAIL, HINT, CONTEXT) are logged at the level of its first.
function logOutput(child: ChildProcess, log?: Logger): string[] {
  const last: string[] = [];
  if (!child.stderr) return last;
  let level: 'debug' | 'warn' = 'debug';
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (/^(LOG|INFO|NOTICE|DEBUG\d?): /.test(line)) level = 'debug';
    if (/^(WARNING|ERROR|FATAL|PANIC): /.test(line)) level = 'warn';
    log?.[level](line);
    last.push(line);
    if (last.length > OUTPUT_LINES) last.shift();
  });
  return last;
}
