// Over HTTP cancels come as answers to a beat that the server holds: but only of what that beat says
// runs. So when new commands run, the lifeline is to beat anew.
//
// Most commands are short. One that ends within 50 ms costs no beat at all, and however many start, it is
// at most one beat in 250 ms. What has ended needs none: that a held beat still names it does no harm.

import type { AttemptKey } from '../db/agents.ts';

const SETTLE_MS = 50;
const INTERVAL_MS = 250;

export class BeatRenewal {
  readonly #running: () => AttemptKey[];
  readonly #beat: () => void;
  #told = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #renewedAtMs = -Infinity;

  constructor(running: () => AttemptKey[], beat: () => void) {
    this.#running = running;
    this.#beat = beat;
  }

  /** What the lifeline was told to run last. */
  told(running: AttemptKey[]): void {
    this.#told = new Set(running.map(nameOf));
  }

  /** Commands have been started. */
  started(): void {
    const restMs = this.#renewedAtMs + INTERVAL_MS - performance.now();
    this.#timer ??= setTimeout(() => this.#renew(), Math.max(SETTLE_MS, restMs));
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #renew(): void {
    this.#timer = undefined;
    if (this.#running().every((attempt) => this.#told.has(nameOf(attempt)))) return;
    this.#renewedAtMs = performance.now();
    this.#beat();
  }
}

function nameOf({ id, attempt }: AttemptKey): string {
  return `${id} ${attempt}`;
}
