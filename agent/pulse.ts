// The rhythm of the lifeline's beats: one at a time, in due time, and sooner when asked.

/** Until the first beat is answered; from then on the database says when to beat. */
const FIRST_INTERVAL_MS = 5_000;

/** Between the end of a beat and the next, however often it is asked for. */
const REST_MS = 20;

export class Pulse {
  /** How long to wait from beat to beat; agents that started together drift apart (±10 %). */
  intervalMs = FIRST_INTERVAL_MS;
  readonly #beat: () => Promise<void>;
  #timer: NodeJS.Timeout | undefined;
  #isBeating = false;
  #isDue = false;
  #endedAtMs = -Infinity;
  #stopped = false;

  /** `beat` never rejects. */
  constructor(beat: () => Promise<void>) {
    this.#beat = beat;
  }

  /** Beats at once; when a beat is on its way, once more after it: that one may have looked before. */
  now(): void {
    this.within(0);
  }

  /** The same, in so many ms. */
  within(ms: number): void {
    if (this.#isBeating) this.#isDue = true;
    else this.#arm(ms);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #arm(waitMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    const restMs = this.#endedAtMs + REST_MS - performance.now();
    this.#timer = setTimeout(() => void this.#run(), Math.max(waitMs, restMs, 0));
  }

  async #run(): Promise<void> {
    this.#isBeating = true;
    this.#isDue = false;
    await this.#beat();
    this.#isBeating = false;
    this.#endedAtMs = performance.now();
    this.#arm(this.#isDue ? 0 : this.intervalMs * (0.9 + 0.2 * Math.random()));
  }
}
