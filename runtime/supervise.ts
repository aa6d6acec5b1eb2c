// Keeps a process of ours running.
//
// A child says `{ ready: … }` over its IPC channel once it works. If it ends before it ever did, the
// start has failed: the child has said why. If it ends later it is started again, a second later, for
// as long as it takes. The channel is also its lifeline: a child stops when it closes, so that a
// launcher that is killed leaves no children behind.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from './log.ts';

const RESTART_MS = 1_000;

export interface ChildOptions {
  /** What log lines call it. */
  name: string;
  /** The file that Node runs. */
  main: string;
  environment: NodeJS.ProcessEnv;
  /** An exit code that means: do not start me again. */
  finalCode?: number;
  log: Logger;
}

/** Something that ends by itself only when it fails. */
export interface Restartable {
  readonly exited: Promise<string>;
  restart(): Promise<void>;
}

/** Restarts it whenever it ends, until the signal says otherwise. Never rejects. */
export async function keepRunning(
  it: Restartable,
  { name, log, signal }: { name: string; log: Logger; signal: AbortSignal },
): Promise<void> {
  for (;;) {
    const how = await it.exited;
    if (signal.aborted) return;
    await pauseBeforeRestart({ name, how, log, signal });
    if (signal.aborted) return;
    await it.restart().then(
      () => log.info({ child: name }, 'a child is back'),
      (error: unknown) => log.error({ child: name, reason: String(error) }, 'a child cannot start'),
    );
  }
}

/** A child ended before it was ready for the first time. */
export class ChildFailedError extends Error {
  override name = 'ChildFailedError';
  /** Whether it ended in the way of a process that has printed what is wrong. */
  readonly hasSaidWhy: boolean;

  constructor(child: string, how: string) {
    super(`The ${child} ended before it was ready: ${how}.`);
    this.hasSaidWhy = how === describe(1, null);
  }
}

export class SupervisedChild {
  /** What the child said when it was ready for the first time. Rejects with ChildFailedError. */
  readonly ready: Promise<string>;
  readonly #options: ChildOptions;
  readonly #stopping = new AbortController();
  readonly #done: Promise<void>;
  #process: ChildProcess | undefined;
  #wasReady = false;

  constructor(options: ChildOptions) {
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.ready = promise;
    // The launcher may have stopped waiting for it.
    promise.catch(() => {});
    this.#done = this.#keepRunning(resolve).catch(reject);
  }

  /** SIGTERM; after `graceMs` SIGKILL. Resolves when the process is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    this.#process?.kill('SIGTERM');
    const timer = setTimeout(() => this.kill(), graceMs);
    await this.#done;
    clearTimeout(timer);
  }

  kill(): void {
    this.#stopping.abort();
    this.#process?.kill('SIGKILL');
  }

  async #keepRunning(onReady: (what: string) => void): Promise<void> {
    const { name, finalCode, log } = this.#options;
    while (!this.#stopping.signal.aborted) {
      const { how, code } = await this.#run(onReady);
      if (this.#stopping.signal.aborted) return;
      if (!this.#wasReady) throw new ChildFailedError(name, how);
      if (finalCode !== undefined && code === finalCode) {
        log.warn({ child: name, how }, 'a child ended and is not wanted back');
        return;
      }
      await pauseBeforeRestart({ name, how, log, signal: this.#stopping.signal });
    }
  }

  async #run(onReady: (what: string) => void): Promise<{ how: string; code: number | null }> {
    const { name, main, environment, log } = this.#options;
    const child = spawn(process.execPath, [main], {
      env: environment,
      // In a process group of its own: Ctrl-C is for the launcher, which ends things in order.
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#process = child;
    child.on('message', (message) => {
      const what = readiness(message);
      if (what === undefined) return;
      if (this.#wasReady) log.info({ child: name, ready: what }, 'a child is back');
      this.#wasReady = true;
      onReady(what);
    });
    try {
      const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
      return { how: describe(code, signal), code };
    } catch (error) {
      return { how: (error as Error).message, code: null };
    }
  }
}

async function pauseBeforeRestart(ended: {
  name: string;
  how: string;
  log: Logger;
  signal: AbortSignal;
}): Promise<void> {
  const { name, how, log, signal } = ended;
  log.warn({ child: name, how }, `a child ended; starting it again in ${RESTART_MS / 1000} s`);
  await pause(RESTART_MS, undefined, { signal }).catch(() => {});
}

function readiness(message: unknown): string | undefined {
  if (typeof message !== 'object' || message === null || !('ready' in message)) return undefined;
  return String(message.ready);
}

function describe(code: number | null, signal: string | null): string {
  return signal ? `signal ${signal}` : `exit code ${code}`;
}
