// Takes what the lifeline hears of cancelled commands to the main thread.
//
// Every agent hears of every cancel, and a main thread that is busy hears nothing for a while. So one
// message is on its way at a time, what comes meanwhile is the next one, and beyond a bound a beat asks
// the ledger instead.

const MOST_IDS = 1_000;

export interface CancelRelayOptions {
  tell: (ids: string[]) => void;
  /** Ids were dropped, and the main thread listens again: ask what was asked to be cancelled. */
  onDropped: () => void;
}

export class CancelRelay {
  readonly #options: CancelRelayOptions;
  #ids = new Set<string>();
  #isOnItsWay = false;
  #hasDropped = false;

  constructor(options: CancelRelayOptions) {
    this.#options = options;
  }

  pass(ids: Iterable<string>): void {
    for (const id of ids) {
      if (this.#ids.size < MOST_IDS) this.#ids.add(id);
      else this.#hasDropped = true;
    }
    this.#send();
  }

  /** The main thread has the last message. */
  heard(): void {
    this.#isOnItsWay = false;
    this.#send();
    if (!this.#hasDropped) return;
    this.#hasDropped = false;
    this.#options.onDropped();
  }

  #send(): void {
    if (this.#isOnItsWay || this.#ids.size === 0) return;
    this.#isOnItsWay = true;
    this.#options.tell([...this.#ids]);
    this.#ids = new Set();
  }
}
