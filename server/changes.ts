// Hints that commands changed, for whoever follows some: one watch a server, begun when the first needs
// it, ended when nobody has for a while.
//
// NOTIFY is only a hint. Nothing is sent unless the ledger knows of a watcher, which transactions that were
// under way when it registered did not: so everything is looked at once it has, and a second later
// once more. Whatever else gets lost costs 15 s: that often everything is looked at anyway. And after
// every reconnect.

import { isUnavailable } from '../db/errors.ts';
import type { Logger } from '../runtime/log.ts';
import { Complaints } from './complaints.ts';
import { Watch } from './watch.ts';

export interface Follower {
  /** These commands changed, and maybe others. */
  onChanged(ids: string[]): void;
  /** Anything may have changed. */
  onGap(): void;
}

export interface ChangesOptions {
  log: Logger;
  /** For tests. */
  renewMs?: number;
  lookAgainMs?: number;
  lookAnywayMs?: number;
  idleMs?: number;
}

const RENEW_MS = 10_000;
const LOOK_AGAIN_MS = 1_000;
const LOOK_ANYWAY_MS = 15_000;
const IDLE_MS = 30_000;

export class Changes {
  readonly #url: string;
  readonly #options: ChangesOptions;
  readonly #complaints: Complaints;
  readonly #followers = new Set<Follower>();
  #watch: Watch | undefined;
  #lookAnyway: NodeJS.Timeout | undefined;
  #lookAgain: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(url: string, options: ChangesOptions) {
    this.#url = url;
    this.#options = options;
    this.#complaints = new Complaints(options.log);
  }

  /** Sends hints, until the answer is called. What was there before is for the follower to read. */
  follow(follower: Follower): () => void {
    this.#followers.add(follower);
    clearTimeout(this.#idle);
    if (!this.#watch && !this.#closed) this.#begin();
    return () => {
      this.#followers.delete(follower);
      if (this.#followers.size > 0 || this.#closed) return;
      clearTimeout(this.#idle);
      this.#idle = setTimeout(() => void this.#end(), this.#options.idleMs ?? IDLE_MS);
    };
  }

  /** Has everybody look at everything, a moment from now: something could not be read, say. */
  lookAgain(): void {
    if (this.#closed) return;
    this.#lookAgain ??= setTimeout(() => {
      this.#lookAgain = undefined;
      this.#gap();
    }, this.#options.lookAgainMs ?? LOOK_AGAIN_MS);
  }

  /** For good. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#followers.clear();
    await this.#end();
  }

  #begin(): void {
    this.#lookAnyway = setInterval(() => this.#gap(), this.#options.lookAnywayMs ?? LOOK_ANYWAY_MS);
    this.#watch = new Watch(this.#url, {
      renewMs: this.#options.renewMs ?? RENEW_MS,
      onPayload: (payload) => this.#hear(payload),
      onWatching: () => {
        this.#gap();
        this.lookAgain();
      },
      onTrouble: (error) => {
        // That the connection is down is the listener's to say.
        if (isUnavailable(error)) this.#options.log.debug({ err: error }, 'not watching');
        else this.#complaints.about('watching for changes failed', { err: error });
      },
      log: this.#options.log,
    });
  }

  async #end(): Promise<void> {
    const watch = this.#watch;
    this.#watch = undefined;
    clearInterval(this.#lookAnyway);
    clearTimeout(this.#lookAgain);
    clearTimeout(this.#idle);
    this.#lookAgain = undefined;
    await watch?.close();
  }

  #hear(payload: string): void {
    if (payload === 'many') return this.#gap();
    const ids = payload.split(' ');
    for (const follower of this.#followers) follower.onChanged(ids);
  }

  #gap(): void {
    this.#complaints.settle();
    for (const follower of this.#followers) follower.onGap();
  }
}
