// Processes that a test starts, watches and kills.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { vi } from 'vitest';

export interface Running {
  readonly pid: number;
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  /** All that it and its children have printed so far. */
  stdout(): string;
  stderr(): string;
  /** Waits until it has printed this. */
  printed(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
}

export interface RunOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  uid?: number;
  gid?: number;
}

/** Runs a TypeScript file of ours with this Node, and with no settings but those given. */
export function run(file: string, args: string[] = [], options: RunOptions = {}): Running {
  return runProgram(process.execPath, [file, ...args], options);
}

/** Runs a program with no settings but those given. */
export function runProgram(program: string, args: string[], options: RunOptions = {}): Running {
  const { PATH, TMPDIR } = process.env;
  const child = spawn(program, args, {
    ...options,
    env: { PATH, TMPDIR, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return {
    pid: child.pid!,
    exited: once(child, 'exit').then(([code, signal]) => ({ code, signal })),
    stdout: () => stdout,
    stderr: () => stderr,
    printed: (pattern, timeoutMs = 25_000) =>
      vi.waitFor(
        () => {
          const found = pattern.exec(stdout);
          if (found) return found;
          throw new Error(`${pattern} was not printed:\n${stdout}${stderr}`);
        },
        { timeout: timeoutMs, interval: 20 },
      ),
    kill: (signal) => void child.kill(signal),
  };
}

/** A zombie, which nobody has asked for its exit code, is not alive. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
