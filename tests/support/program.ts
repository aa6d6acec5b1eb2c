// Our server or agent as a process of its own, for whoever kills and freezes it: tests, the checker,
// benches. It ends with the process that started it, however that ends: the channel closes.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export interface Program extends AsyncDisposable {
  readonly pid: number;
  /** What it says once it works: the server's URL, the agent's id. Rejects when it ends before. */
  readonly ready: Promise<string>;
  isRunning(): boolean;
  /** How it ended: `SIGKILL` or `exit code 3`. Never rejects. */
  readonly exited: Promise<string>;
  /** What it logged so far. */
  output(): string;
  signal(signal: NodeJS.Signals): void;
}

/** Enough to see why a process ended. */
const OUTPUT_CHARACTERS = 1_000_000;

/** Starts `server/main.ts` or `agent/main.ts` with no settings but those given. */
export function startProgram(
  main: 'server' | 'agent',
  env: NodeJS.ProcessEnv,
  args: string[] = [],
): Program {
  const child = fork(join(import.meta.dirname, '../..', main, 'main.ts'), args, {
    env: { PATH: process.env['PATH'], PORT: '0', ...env },
    // In a process group of its own: Ctrl-C is for whoever started it.
    detached: true,
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_CHARACTERS);
    });
  const exited = once(child, 'exit').then(([code, signal]) =>
    typeof signal === 'string' ? signal : `exit code ${String(code)}`,
  );
  const ready = Promise.race([
    once(child, 'message').then(([message]) => (message as { ready: string }).ready),
    exited.then((how) => Promise.reject(new Error(`the ${main} ended (${how}): ${output}`))),
  ]);
  ready.catch(() => {});
  return {
    pid: child.pid ?? 0,
    ready,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    exited,
    output: () => output,
    signal: (signal) => void child.kill(signal),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
