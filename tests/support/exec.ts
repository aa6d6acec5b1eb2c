// Runs EXEC as an agent would that allows a shell.

import { createExec } from '../../agent/executors/exec.ts';
import { findPrograms, type Programs } from '../../agent/executors/exec-programs.ts';
import { createRegistry } from '../../agent/executors/registry.ts';
import { runExecutor, type Outcome } from '../../agent/executors/run.ts';
import { executorContext } from './executor-context.ts';

export interface ExecOptions {
  programs?: Programs;
  environment?: NodeJS.ProcessEnv;
  signal?: AbortSignal;
  print?: (line: string) => void;
}

const PROGRAMS = findPrograms(['/bin/sh', '/bin/echo', '/bin/cat', '/usr/bin/env']);

/** Runs a command as the agent would. */
export function execute(payload: object, options: ExecOptions = {}): Promise<Outcome> {
  const { programs = PROGRAMS, environment = { PATH: '/usr/bin:/bin' }, ...context } = options;
  const registry = createRegistry([createExec({ programs, environment })]);
  return runExecutor(registry, { type: 'EXEC', payload }, executorContext(context));
}

/** Runs a script that must succeed; answers the result. */
export async function script(text: string, payload: object = {}, options: ExecOptions = {}) {
  const outcome = await execute({ argv: ['/bin/sh', '-c', text], ...payload }, options);
  if (outcome.outcome === 'failed') throw new Error(outcome.error.message);
  return outcome.result as ExecResult;
}

export interface ExecResult {
  exitCode: number;
  signal: string | null;
  stdout: string;
  stderr: string;
  truncated: boolean;
}

/** Where a script's lines go, for a test that waits for one. */
export function transcript() {
  const lines: string[] = [];
  return { lines, print: (line: string) => void lines.push(line) };
}
