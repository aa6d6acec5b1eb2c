// The agent's lifeline, as the main thread sees it. It runs in a thread of its own, so that an executor
// that blocks the event loop does not make the agent look dead: see lifeline-thread.ts, and over HTTP
// lifeline-thread-http.ts.
//
// When that thread ends unasked it is replaced once, within the grace that its session's lock has. If
// that does not last, the process ends: without a lifeline its commands run elsewhere anyway.

import { Worker } from 'node:worker_threads';
import type { AttemptKey } from '../db/agents.ts';
import type { Logger } from '../runtime/log.ts';
import type {
  AgentState,
  FromLifeline,
  LifelineSetup,
  LifelineTarget,
  Stir,
  ToLifeline,
} from './lifeline-messages.ts';
import { listenTo, newWorkBell } from './work-bell.ts';

/** How long the thread may take to close its connection. */
const CLOSE_MS = 400;

export interface LifelineOptions {
  log: Logger;
  /** What the agent runs right now. */
  state: () => AgentState;
  /** Work may be waiting. */
  onWork: () => void;
  /** The agent runs these but no longer owns them. */
  onRevoked: (attempts: AttemptKey[]) => void;
  /** Somebody asked to cancel these commands, of which most or all are other agents'. */
  onCancelled: (ids: string[]) => void;
  /** A newer process is this agent now. */
  onSuperseded: () => void;
}

export class Lifeline {
  readonly #target: LifelineTarget;
  readonly #options: LifelineOptions;
  readonly #workBell = newWorkBell();
  readonly #opened = Promise.withResolvers<void>();
  #worker: Worker | undefined;
  #exited: Promise<void> | undefined;
  #isOpen = false;
  #wasReplaced = false;
  #closed = false;

  constructor(target: LifelineTarget, options: LifelineOptions) {
    this.#target = target;
    this.#options = options;
  }

  /** Loads the thread's code, which takes a while; `open` or `close` must follow. */
  load(): void {
    // Nobody may be waiting for it yet when it fails.
    this.#opened.promise.catch(() => {});
    void listenTo(this.#workBell, () => this.#options.onWork());
    this.#start();
  }

  /** Rejects when the database cannot be reached; from then on the lifeline heals by itself. */
  async open(): Promise<void> {
    this.#post({ kind: 'open' });
    await this.#opened.promise;
  }

  /** What the agent does has changed in a way that it should know of. */
  stir(how: Stir): void {
    this.#post({ kind: how, state: this.#options.state() });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#post({ kind: 'close' });
    const timer = setTimeout(() => void this.#worker?.terminate(), CLOSE_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  #start(): void {
    const setup: LifelineSetup = { ...this.#target, workBell: this.#workBell };
    const worker = new Worker(new URL('./lifeline-worker.ts', import.meta.url), {
      name: 'lifeline',
      workerData: setup,
    });
    worker.on('message', (message: FromLifeline) => this.#heed(message));
    worker.on('error', (error) => this.#failed(error));
    const { promise, resolve } = Promise.withResolvers<void>();
    worker.on('exit', () => {
      resolve();
      this.#ended();
    });
    this.#exited = promise;
    this.#worker = worker;
  }

  #heed(message: FromLifeline): void {
    const { state, onRevoked, onCancelled, onSuperseded, log } = this.#options;
    switch (message.kind) {
      case 'open':
        this.#isOpen = true;
        return this.#opened.resolve();
      case 'ask':
        return this.#post({ kind: 'state', state: state() });
      case 'revoked':
        return onRevoked(message.attempts);
      case 'cancelled':
        this.#post({ kind: 'heardOfCancels' });
        return onCancelled(message.ids);
      case 'superseded':
        return onSuperseded();
      case 'log':
        return log[message.level](...(message.line as [object, string]));
    }
  }

  #post(message: ToLifeline): void {
    this.#worker?.postMessage(message);
  }

  #failed(error: unknown): void {
    if (this.#isOpen) this.#options.log.error({ err: error }, 'the lifeline failed');
    else this.#opened.reject(error);
  }

  #ended(): void {
    if (this.#closed) return;
    if (!this.#isOpen) return this.#opened.reject(new Error('the lifeline ended as it started'));
    if (this.#wasReplaced) throw new Error('the lifeline ended twice');
    this.#options.log.error('the lifeline ended; starting it again');
    this.#wasReplaced = true;
    this.#start();
    this.#post({ kind: 'open' });
  }
}
