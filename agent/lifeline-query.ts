// What the lifeline's thread knows of the main thread's state: asked before each beat.
//
// If the main thread is too busy to answer, its previous answer goes out: that is always safe, however
// old. What it had settled by then and did not run, it never will; and what it has claimed since is of no
// concern to the beat.

import type { AgentState } from './lifeline-messages.ts';

/** How long a beat waits for the main thread. */
const PATIENCE_MS = 100;

export class LifelineQuery {
  readonly #ask: () => void;
  #state: AgentState = { running: [], settledClaimNo: 0, draining: false, waits: false };
  #asked: PromiseWithResolvers<void> | undefined;
  #isAwaited = false;

  /** `ask` has the main thread say its state, sooner or later. */
  constructor(ask: () => void) {
    this.#ask = ask;
  }

  /** What the main thread said last. */
  get latest(): AgentState {
    return this.#state;
  }

  /** The main thread's present state, or its previous one. One call at a time. */
  async state(): Promise<AgentState> {
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(patience.resolve, PATIENCE_MS);
    this.#isAwaited = true;
    await Promise.race([this.#answer(), patience.promise]);
    this.#isAwaited = false;
    clearTimeout(timer);
    return this.#state;
  }

  /** The main thread says its state. Answers whether a beat was waiting for it. */
  answered(state: AgentState): boolean {
    this.#state = state;
    this.#asked?.resolve();
    this.#asked = undefined;
    return this.#isAwaited;
  }

  /** Of two calls the second waits for what the first has asked. */
  #answer(): Promise<void> {
    if (this.#asked) return this.#asked.promise;
    const { promise } = (this.#asked = Promise.withResolvers());
    this.#ask();
    return promise;
  }
}
