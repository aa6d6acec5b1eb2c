// Agents whose claims wait here for work, in the order in which they came.
//
// Waking all of them for one command would cost a thousand claims. So a NOTIFY wakes one that may claim the
// work, the one that has waited longest.

import type { Subscription } from '../db/agents.ts';
import type { ClaimAnswer, ClaimRequest } from '../db/client-claims.ts';
import { isWorkFor } from '../db/work.ts';

/** Why a waiter is woken: work may wait for it, or it is to wait no more. */
type Call = 'work' | 'over';

/**
 * How long a beat stands for its agent's open polls, too: the next one comes by then, or the claim desk says within
 * 5 s more that its agent lives.
 */
const BEAT_COUNTS_MS = 6_000;

const NOTHING: Subscription = { queues: [], types: [] };

/** A claim that looks for work, waits until it is woken, and looks again. */
export class Waiter {
  request: ClaimRequest;
  /** Work was announced while it looked. */
  missed = false;
  /** It is to wait no more, also if it does not wait right now. */
  isOver = false;
  #session: string | undefined;
  /** What it comes down to, once the database has said so. */
  #subscription: Subscription | undefined;
  #wake: ((call: Call) => void) | undefined;
  #beatAtMs = -Infinity;

  constructor(request: ClaimRequest) {
    this.request = request;
  }

  get session(): string | undefined {
    return this.#session;
  }

  get waits(): boolean {
    return this.#wake !== undefined;
  }

  /** Whether it has shown by itself that it lives. */
  get beats(): boolean {
    return performance.now() - this.#beatAtMs < BEAT_COUNTS_MS;
  }

  /** Takes in what it comes down to. Answers whether it may have been woken for work, and may claim none now. */
  know({ session, queues, types, answer }: ClaimAnswer): boolean {
    this.#session = session;
    // From now on it has one; to ask without would say that it has restarted.
    if (this.request.session === undefined) this.request = { ...this.request, session };
    const mightClaim = this.#subscription !== undefined && this.#subscription !== NOTHING;
    const drains = answer === 'draining';
    this.#subscription = drains ? NOTHING : { queues, types };
    return drains && mightClaim;
  }

  mayClaim(payload: string): boolean {
    return isWorkFor(payload, this.request.agentId, this.#subscription ?? NOTHING);
  }

  noteBeat(): void {
    this.#beatAtMs = performance.now();
  }

  async wait(): Promise<Call> {
    const { promise, resolve } = Promise.withResolvers<Call>();
    this.#wake = resolve;
    return await promise;
  }

  /** Has it look: now if it waits, else once more. */
  rouse(): void {
    if (!this.#wake) this.missed = true;
    this.#end('work');
  }

  dismiss(): void {
    this.isOver = true;
    this.#end('over');
  }

  #end(call: Call): void {
    this.#wake?.(call);
    this.#wake = undefined;
  }
}

export class Waiters {
  readonly #byAgent = new Map<string, Waiter>();

  get size(): number {
    return this.#byAgent.size;
  }

  get(agentId: string): Waiter | undefined {
    return this.#byAgent.get(agentId);
  }

  /** A new one comes last. */
  enter(waiter: Waiter): void {
    const { agentId } = waiter.request;
    this.#byAgent.delete(agentId);
    this.#byAgent.set(agentId, waiter);
  }

  leave(waiter: Waiter): void {
    const { agentId } = waiter.request;
    if (this.#byAgent.get(agentId) === waiter) this.#byAgent.delete(agentId);
  }

  all(): Waiter[] {
    return [...this.#byAgent.values()];
  }

  /** Wakes so many of those that may claim this; if none of them waits, those that look are to look again. */
  wake(payload: string, count: number): void {
    let left = count;
    const looking: Waiter[] = [];
    for (const waiter of this.#byAgent.values()) {
      if (left === 0) return;
      if (!waiter.waits) looking.push(waiter);
      else if (waiter.mayClaim(payload)) {
        waiter.rouse();
        left -= 1;
      }
    }
    if (left < count) return;
    for (const waiter of looking) waiter.rouse();
  }

  wakeAll(): void {
    for (const waiter of this.#byAgent.values()) waiter.rouse();
  }
}
