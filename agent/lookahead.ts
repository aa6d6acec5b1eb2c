// How many commands an agent claims ahead of its free slots.
//
// Where commands take next to no time, what is slow is to claim: a round trip and a commit, for as few
// commands as there are slots. So an agent claims as many more as will begin within 20 ms, by how long
// recent ones occupied their slots; and only while the queue proves full, since what it takes then could
// not begin sooner elsewhere. An agent whose commands take longer than that claims for free slots only.

import type { Demand } from './claimer.ts';

/** How soon what is claimed ahead is to begin. */
const HORIZON_MS = 20;

/** The newest command's share in the mean. */
const WEIGHT = 1 / 8;

export const MOST_AHEAD = 400;

/** How many claims in a row may have to prove the queue full before the next one claims ahead. */
const MOST_DOUBTS = 16;

export class Lookahead {
  readonly #concurrency: number;
  /** Of the time that recent commands occupied their slots. */
  #meanMs = Infinity;
  #allowed = 0;
  #someBeganLate = false;
  #fullClaims = 0;
  #doubts = 1;

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
  }

  /** How many commands may wait for a slot. */
  get size(): number {
    if (this.#meanMs >= HORIZON_MS) return 0;
    return Math.min(this.#allowed, Math.floor((this.#concurrency * HORIZON_MS) / this.#meanMs));
  }

  /** A claim has answered so many commands. */
  claimed({ limit, ahead }: Demand, count: number): void {
    if (count < limit) {
      this.#allowed = 0;
      this.#fullClaims = 0;
      // It may have been left out because it may not wait for a slot: then that goes on.
      if (ahead > 0 && count >= limit - ahead)
        this.#doubts = Math.min(2 * this.#doubts, MOST_DOUBTS);
      return;
    }
    if (ahead > 0) this.#doubts = 1;
    this.#fullClaims += 1;
    if (this.#someBeganLate) this.#allowed = Math.floor(this.#allowed / 2);
    else if (this.#fullClaims >= this.#doubts)
      this.#allowed = Math.min(MOST_AHEAD, Math.max(this.#concurrency, 2 * this.#allowed));
    this.#someBeganLate = false;
  }

  /** A command begins, so long after it was claimed. */
  began(waitedMs: number): void {
    if (waitedMs > HORIZON_MS) this.#someBeganLate = true;
  }

  /** A command was executed, and occupied its slot for so long. */
  executed(tookMs: number): void {
    const meanMs = this.#meanMs === Infinity ? tookMs : this.#meanMs;
    this.#meanMs = meanMs + WEIGHT * (tookMs - meanMs);
  }

  /** Commands waited for too long: what runs takes longer than it looked. */
  misjudged(): void {
    this.#allowed = 0;
  }
}
