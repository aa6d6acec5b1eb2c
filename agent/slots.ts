// The agent's slots, and the line in front of them.
//
// What was claimed begins in the order in which it came, as soon as there is a slot. What was claimed ahead
// of free slots waits, for some milliseconds if commands take what they took. What cannot begin in 100 ms
// goes back, so that other agents may have it.

import type { Attempt } from './attempt.ts';
import type { Demand } from './claimer.ts';
import { Lookahead } from './lookahead.ts';

/** How long a command may wait for a slot. */
const PATIENCE_MS = 100;

export interface SlotsOptions {
  concurrency: number;
  /** Whether what is claimed may wait for a slot. */
  mayClaimAhead: boolean;
  /** Whether outcomes can be recorded, as far as is known: nothing begins while they cannot. */
  mayBegin: () => boolean;
  /** Never rejects. */
  execute: (attempt: Attempt) => Promise<void>;
  /** No slot came for these; they wait no more. */
  onOverdue: (attempts: Attempt[]) => void;
}

export class Slots {
  readonly #options: SlotsOptions;
  readonly #lookahead: Lookahead;
  #executing = 0;
  #line: Attempt[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SlotsOptions) {
    this.#options = options;
    this.#lookahead = new Lookahead(options.concurrency);
  }

  /** What to claim for an agent that owns so many commands: also those that have yet to be acknowledged. */
  demand(owned: number): Demand {
    const { concurrency, mayClaimAhead } = this.#options;
    const free = concurrency - this.#executing;
    const most = mayClaimAhead ? this.#lookahead.size : 0;
    // Half of the line is left for the time that a claim takes.
    const ahead = this.#line.length > most / 2 ? 0 : most - this.#line.length;
    // As many as execute and wait for it may wait for their report to be acknowledged; and where commands take next
    // to no time some more, so that the next report is complete by the time that the one on its way is answered.
    const limit = Math.min(free + ahead, 2 * (concurrency + most) + most - owned);
    return { limit, ahead: Math.max(0, limit - free) };
  }

  /** Takes what was claimed upon a demand, in the order in which to begin. */
  take(attempts: Attempt[], demand: Demand): void {
    this.#lookahead.claimed(demand, attempts.length);
    this.#line.push(...attempts);
    this.#fill();
  }

  /** Answers whether it waited, and waits no more. */
  remove(attempt: Attempt): boolean {
    const place = this.#line.indexOf(attempt);
    if (place >= 0) this.#line.splice(place, 1);
    return place >= 0;
  }

  /** Answers all that waits: it waits no more. */
  clear(): Attempt[] {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return this.#line.splice(0);
  }

  #fill(): void {
    const { concurrency, mayBegin } = this.#options;
    while (this.#executing < concurrency && mayBegin()) {
      const next = this.#line.shift();
      if (!next) return;
      void this.#use(next);
    }
    this.#watch();
  }

  async #use(attempt: Attempt): Promise<void> {
    const beganAtMs = performance.now();
    this.#lookahead.began(beganAtMs - attempt.claimedAtMs);
    this.#executing += 1;
    await this.#options.execute(attempt);
    this.#executing -= 1;
    this.#lookahead.executed(performance.now() - beganAtMs);
    this.#fill();
  }

  #watch(): void {
    const [first] = this.#line;
    if (!first || this.#timer) return;
    const leftMs = first.claimedAtMs + PATIENCE_MS - performance.now();
    this.#timer = setTimeout(() => this.#look(), Math.max(leftMs, 0));
  }

  #look(): void {
    this.#timer = undefined;
    const latestMs = performance.now() - PATIENCE_MS;
    const inTime = this.#line.findIndex(({ claimedAtMs }) => claimedAtMs > latestMs);
    const overdue = this.#line.splice(0, inTime < 0 ? this.#line.length : inTime);
    if (overdue.length > 0) {
      this.#lookahead.misjudged();
      this.#options.onOverdue(overdue);
    }
    this.#watch();
  }
}
