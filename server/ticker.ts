// Runs the scheduled SQL each second, and when the next deferred command is due.
//
//   tick ─▶ its answer says when the next command is due ─▶ wait until then, a second at most ─▶ tick
//              NOTIFY executor_due names an earlier time ─▶ wait until that one
//
// All over one connection of its own: the tick is the regular statement that proves it alive, and one
// tick runs at a time. While the connection is down nothing is sent; once it listens again a tick is
// the look for what was missed. So a NOTIFY that is lost, or wrong, costs a second.
//
// Due times are the database's, whose clock need not agree with ours: every answer says what time it is
// there. Several servers may tick: the database lets one at a time through.

import { isUnavailable } from '../db/errors.ts';
import { Listener } from '../db/listen.ts';
import { tick } from '../db/recovery.ts';
import type { Logger } from '../runtime/log.ts';
import { Complaints } from './complaints.ts';

const INTERVAL_MS = 1_000;

/** Between the end of a tick and the next, however much is due: a full one promotes 1,000. */
const REST_MS = 20;

/** Timers fire up to a millisecond early, and times lose their microseconds on the way here. */
const MARGIN_MS = 2;

const SLOW_MS = 1_000;

/** How long a tick that runs when we stop may take. Postgres finishes it anyway. */
const PATIENCE_MS = 1_000;

export class Ticker {
  readonly #log: Logger;
  readonly #complaints: Complaints;
  readonly #listener: Listener;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #closed = false;
  /** When to tick next, on our clock; a NOTIFY may bring it forward. */
  #nextAtMs = Infinity;
  #restedAtMs = 0;
  /** What the database's clock shows beyond ours. */
  #aheadMs = 0;

  constructor(url: string, log: Logger) {
    this.#log = log;
    this.#complaints = new Complaints(log);
    this.#listener = new Listener(url, {
      applicationName: 'agent-executor server ticker',
      channels: ['executor_due'],
      onNotification: (_channel, seconds) => this.#heed(Number(seconds) * 1_000),
      onListening: () => this.#begin(),
      onNotice: (notice) => this.#complaints.about('a step of the tick failed', { notice }),
      log,
    });
  }

  /** Rejects when the database cannot be reached; from then on the ticker heals by itself. */
  async open(): Promise<void> {
    await this.#listener.open();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    if (this.#running) await settled(this.#running, PATIENCE_MS);
    await this.#listener.close();
  }

  #begin(): void {
    if (this.#closed || this.#running) return;
    clearTimeout(this.#timer);
    this.#running = this.#tick().finally(() => {
      this.#running = undefined;
      this.#restedAtMs = nowMs() + REST_MS;
      this.#arm();
    });
  }

  async #tick(): Promise<void> {
    const startedAtMs = nowMs();
    this.#nextAtMs = startedAtMs + INTERVAL_MS;
    try {
      const { nextDueAt, answeredAt } = await tick(this.#listener);
      this.#aheadMs = answeredAt.getTime() - nowMs();
      if (nextDueAt) this.#heed(nextDueAt.getTime());
    } catch (error) {
      // That the connection is down is the listener's to say.
      if (isUnavailable(error)) this.#log.debug({ err: error }, 'no tick');
      else this.#complaints.about('the tick failed', { err: error });
    }
    const tookMs = Math.round(nowMs() - startedAtMs);
    if (tookMs > SLOW_MS) this.#complaints.about('the tick is slow', { tookMs });
    this.#complaints.settle();
  }

  /** Something is due at this time of the database. */
  #heed(dueAtMs: number): void {
    const atMs = dueAtMs - this.#aheadMs + MARGIN_MS;
    if (!(atMs < this.#nextAtMs)) return;
    this.#nextAtMs = atMs;
    this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#running) return;
    const waitMs = Math.max(this.#nextAtMs, this.#restedAtMs) - nowMs();
    this.#timer = setTimeout(() => this.#begin(), Math.max(0, waitMs));
  }
}

/** Since 1970, and steady: no one sets this clock back. */
function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

async function settled(promise: Promise<void>, patienceMs: number): Promise<void> {
  const { promise: patience, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, patienceMs);
  await Promise.race([promise, patience]);
  clearTimeout(timer);
}
