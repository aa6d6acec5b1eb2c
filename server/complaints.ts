// What may go wrong every second is said when it begins and when it has been over for a while, not every
// second.

import type { Logger } from '../runtime/log.ts';

const CALM_MS = 60_000;

export class Complaints {
  readonly #log: Logger;
  readonly #calmMs: number;
  /** When each thing last went wrong. */
  readonly #heard = new Map<string, number>();

  constructor(log: Logger, calmMs = CALM_MS) {
    this.#log = log;
    this.#calmMs = calmMs;
  }

  /** `what` is one of a few fixed texts; the details are those of the first time. */
  about(what: string, details: object): void {
    if (!this.#heard.has(what)) this.#log.error(details, what);
    this.#heard.set(what, performance.now());
  }

  /** To be called now and then: says what has been over for a while. */
  settle(): void {
    for (const [what, heardAtMs] of this.#heard) {
      if (performance.now() - heardAtMs < this.#calmMs) continue;
      this.#heard.delete(what);
      this.#log.info(`no longer: ${what}`);
    }
  }
}
