// What the database says to agents (NOTIFY executor_work and executor_cancel), for those of them that are
// connected to this server: one listening connection for all, made when the first of them comes.
//
// NOTIFY only saves time. After every gap, at first too, everybody is told to look.

import { jitteredBackoffMs } from '../db/backoff.ts';
import { Listener } from '../db/listen.ts';
import type { Logger } from '../runtime/log.ts';

export interface Sleeper {
  /** `queue type`, or `queue type agent`: see db/work.ts. */
  onWork?(payload: string): void;
  /** Somebody asked to cancel these commands; undefined: many. */
  onCancel?(ids: string[] | undefined): void;
  /** Anything may have been missed. */
  onGap(): void;
}

export class WakeUps {
  readonly #url: string;
  readonly #log: Logger;
  readonly #sleepers = new Set<Sleeper>();
  #listener: Listener | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #closed = false;

  constructor(url: string, log: Logger) {
    this.#url = url;
    this.#log = log;
  }

  /** To be told from the time on that `listen` is called. */
  add(sleeper: Sleeper): void {
    this.#sleepers.add(sleeper);
  }

  /** Begins to listen, unless that has begun; from then on it heals by itself. */
  listen(): void {
    if (this.#listener || this.#closed) return;
    this.#listener = new Listener(this.#url, {
      applicationName: 'agent-executor server agents',
      channels: ['executor_work', 'executor_cancel'],
      onNotification: (channel, payload) => this.#hear(channel, payload),
      onListening: () => this.#forAll((sleeper) => sleeper.onGap()),
      log: this.#log,
    });
    this.#connect(this.#listener);
  }

  /** Runs a regular statement over the listening connection, which proves it alive. */
  async query(text: string, values: unknown[]): Promise<{ rows: unknown[] }> {
    if (!this.#listener) throw new Error('Connection terminated: not listening');
    return await this.#listener.query(text, values);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#listener?.close();
  }

  #connect(listener: Listener): void {
    listener.open().catch((error: unknown) => {
      if (this.#closed) return;
      this.#log.debug({ err: error }, 'cannot listen for agents');
      this.#failures += 1;
      this.#retry = setTimeout(() => this.#connect(listener), jitteredBackoffMs(this.#failures));
    });
  }

  #hear(channel: string, payload: string): void {
    if (channel === 'executor_work') return this.#forAll((sleeper) => sleeper.onWork?.(payload));
    const ids = payload === 'many' ? undefined : payload.split(' ');
    this.#forAll((sleeper) => sleeper.onCancel?.(ids));
  }

  #forAll(tell: (sleeper: Sleeper) => void): void {
    for (const sleeper of this.#sleepers) tell(sleeper);
  }
}
