// EXEC: runs a program of the agent's machine. Only an agent that was given a list of programs does.
//
// There is no shell in between: argv is what the program gets. It runs as the agent's user and may do
// all that this user may; what it does not get is the agent's environment, which holds the database's
// password, or anything that the agent has open. Its output goes to the command's log as it comes, and
// the last of it is in the result. An exit code that is not among `okExitCodes` fails the attempt.

import { statSync } from 'node:fs';
import { constants } from 'node:os';
import { INHERITED, payload, result } from './exec-contract.ts';
import type { Programs } from './exec-programs.ts';
import { defineExecutor, type ExecutorContext } from './executor.ts';
import { Lines, Tail } from './output.ts';
import { runGroup, type Ended, type Program } from './process-group.ts';

export const EXEC = 'EXEC';

const TIMEOUT_MS = 300_000;

export interface ExecOptions {
  programs: Programs;
  /** The agent's own. */
  environment: NodeJS.ProcessEnv;
}

export function createExec({ programs, environment }: ExecOptions) {
  const inherited = Object.fromEntries(INHERITED.map((name) => [name, environment[name]]));
  return defineExecutor({
    type: EXEC,
    description:
      'Runs a program that the agent allows, without a shell; any other exit code than 0 fails.',
    payload,
    result,
    timeout: { defaultMs: TIMEOUT_MS },

    async execute({ argv, env: given, cwd, stdin, maxOutputBytes, okExitCodes }, context) {
      const [argv0 = '', ...args] = argv;
      const file = programs.get(argv0);
      if (file === undefined) {
        throw new RefusedError(`${JSON.stringify(argv0)} is not among the programs of ALLOW_EXEC`);
      }
      assertDirectory(cwd);
      context.signal.throwIfAborted();
      const env = { ...inherited, ...given };
      const kept = { stdout: new Tail(maxOutputBytes), stderr: new Tail(maxOutputBytes) };
      const ended = await run({ file, argv0, args, env, cwd, stdin }, kept, context);
      context.signal.throwIfAborted();
      const exitCode = exitCodeOf(ended);
      const stdout = kept.stdout.text();
      const stderr = kept.stderr.text();
      if (!okExitCodes.includes(exitCode)) {
        throw new Error(describe(argv0, ended, lastLines(stderr) || lastLines(stdout)));
      }
      const truncated = kept.stdout.isCut || kept.stderr.isCut;
      return { exitCode, signal: ended.signal, stdout, stderr, truncated };
    },
  });
}

/** What no other attempt would change. */
class RefusedError extends Error {
  override name = 'RefusedError';
  readonly retryable = false;
}

/** Starts it, keeps the end of what it writes, and prints that line by line. */
async function run(
  program: Omit<Program, 'onStdout' | 'onStderr'>,
  kept: { stdout: Tail; stderr: Tail },
  { signal, print }: ExecutorContext,
): Promise<Ended> {
  const lines = { stdout: new Lines(print), stderr: new Lines(print) };
  const take = (name: 'stdout' | 'stderr') => (chunk: Buffer) => {
    kept[name].add(chunk);
    lines[name].add(chunk);
  };
  try {
    const streams = { onStdout: take('stdout'), onStderr: take('stderr') };
    return await runGroup({ ...program, ...streams }, signal);
  } catch (cause) {
    const isTooLong = (cause as NodeJS.ErrnoException).code === 'E2BIG';
    if (isTooLong) throw new RefusedError('argv and env are too long', { cause });
    throw new Error(`cannot start ${program.argv0}`, { cause });
  } finally {
    lines.stdout.end();
    lines.stderr.end();
  }
}

/** Without it, spawn says that there is no such program. */
function assertDirectory(cwd: string | undefined): void {
  if (cwd === undefined || statSync(cwd, { throwIfNoEntry: false })?.isDirectory()) return;
  throw new Error(`cwd ${cwd} is no directory here`);
}

function exitCodeOf({ code, signal }: Ended): number {
  return code ?? 128 + (signal ? constants.signals[signal] : 0);
}

function describe(name: string, ended: Ended, lines: string): string {
  const how = ended.signal ? `was ended by ${ended.signal}` : `ended with exit code ${ended.code}`;
  return lines === '' ? `${name} ${how}` : `${name} ${how}: ${lines}`;
}

const LAST_LINES = 10;
const LAST_CHARACTERS = 2_000;

function lastLines(text: string): string {
  const lines = text.slice(-LAST_CHARACTERS).trim().split('\n').slice(-LAST_LINES);
  return lines.join('\n').trim();
}
