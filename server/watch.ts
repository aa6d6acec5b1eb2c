// A server's registration as a watcher of changes, and the connection that hears of them.
//
//   connect ─▶ LISTEN ─▶ executor.watch() ─▶ again every 10 s, for it lasts 30 s
//
// Registering is the regular statement that proves the connection alive: without an answer the
// connection is dropped and made anew.

import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { jitteredBackoffMs } from '../db/backoff.ts';
import { Listener } from '../db/listen.ts';
import type { Logger } from '../runtime/log.ts';

export interface WatchOptions {
  renewMs: number;
  /** What a NOTIFY says: ids with spaces between, or `many`. */
  onPayload: (payload: string) => void;
  /** From here on changes are announced; what came before, at first or in a gap, was not heard. */
  onWatching: () => void;
  /** It could not be renewed, or the connection not be made; it goes on trying. */
  onTrouble: (error: unknown) => void;
  log: Logger;
}

/** How long taking leave may take: without it the registration ends by itself. */
const GOODBYE_MS = 500;

export class Watch {
  readonly #options: WatchOptions;
  readonly #id = randomUUID();
  readonly #listener: Listener;
  readonly #renewal: NodeJS.Timeout;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #registering: Promise<void> | undefined;
  #isWatching = false;
  #closed = false;

  /** Starts at once, and heals by itself. */
  constructor(url: string, options: WatchOptions) {
    this.#options = options;
    this.#listener = new Listener(url, {
      applicationName: 'agent-executor server changes',
      channels: ['executor_changed'],
      onNotification: (_channel, payload) => options.onPayload(payload),
      onListening: () => {
        this.#isWatching = false;
        this.#renew();
      },
      log: options.log,
    });
    this.#renewal = setInterval(() => this.#renew(), options.renewMs);
    this.#connect();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#renewal);
    clearTimeout(this.#retry);
    await Promise.race([this.#takeLeave(), pause(GOODBYE_MS, undefined, { ref: false })]);
  }

  #connect(): void {
    this.#listener.open().catch((error: unknown) => {
      if (this.#closed) return;
      this.#options.onTrouble(error);
      this.#failures += 1;
      this.#retry = setTimeout(() => this.#connect(), jitteredBackoffMs(this.#failures));
    });
  }

  /** One at a time: a connection takes one statement after the other. */
  #renew(): void {
    this.#registering ??= this.#register().finally(() => (this.#registering = undefined));
  }

  async #register(): Promise<void> {
    try {
      await this.#listener.query('select executor.watch($1)', [this.#id]);
    } catch (error) {
      if (!this.#closed) this.#options.onTrouble(error);
      return;
    }
    if (this.#isWatching || this.#closed) return;
    this.#isWatching = true;
    this.#options.onWatching();
  }

  async #takeLeave(): Promise<void> {
    await this.#registering;
    await this.#listener
      .query(`select executor.watch($1, '0 seconds')`, [this.#id])
      .catch(() => {});
    await this.#listener.close();
  }
}
