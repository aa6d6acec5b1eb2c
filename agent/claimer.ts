// When the agent claims: when it is woken (NOTIFY, a beat that says work waits, a new connection) and,
// once the queue gave it all that it asked for, whenever there is room. It never polls.
//
// Where claims wait for work (over HTTP) one is always under way while there is a free slot. A slot that
// becomes free meanwhile is for the next one.

import type { ClaimedCommand } from '../db/claim.ts';
import type { Logger } from '../runtime/log.ts';

/** What to claim. */
export interface Demand {
  limit: number;
  /** How many of these will have to wait for a slot. */
  ahead: number;
}

export interface ClaimerOptions {
  /** What there is room for right now; a limit of 0: nothing. */
  demand: () => Demand;
  /** Whether outcomes can be recorded; asked before each claim. */
  canRecord: () => boolean;
  claim: (demand: Demand) => Promise<ClaimedCommand[]>;
  /** Has a claim that waits for work answer at once. */
  endClaim: () => void;
  /** See Transport. */
  pollIntervalMs: number | undefined;
  /** Takes what was claimed; another claim waits until that is done. */
  onClaimed: (commands: ClaimedCommand[], demand: Demand) => Promise<void>;
  /** What a claim has taken or may have taken is not started: the ledger is to hear that it is settled. */
  onUnclaimed: () => void;
  /** A claim has ended, and none follows at once. */
  onPause: () => void;
  log: Logger;
}

/** An empty answer that came sooner did not wait for work. */
const LEAST_WAITED_MS = 1_000;

/** Most of what is cancelled during a claim is other agents'. */
const MOST_CANCELLED = 10_000;

export class Claimer {
  readonly #options: ClaimerOptions;
  /** What was cancelled since the claim on its way began: it may bring it, and not know. */
  readonly #cancelled = new Set<string>();
  #claiming: Promise<void> | undefined;
  #moreMayWait = false;
  #pumpIsDue = false;
  #later: NodeJS.Timeout | undefined;
  #failed = false;
  #stopped = false;

  constructor(options: ClaimerOptions) {
    this.#options = options;
  }

  /** Work may be waiting: claim, if there is room. */
  wake(): void {
    this.#moreMayWait = true;
    this.#pump();
  }

  /** There may be room again. Slots that become free in one turn of the event loop are filled by one claim. */
  pumpSoon(): void {
    if (this.#pumpIsDue || !this.#moreMayWait) return;
    this.#pumpIsDue = true;
    setImmediate(() => {
      this.#pumpIsDue = false;
      this.#pump();
    });
  }

  /** Somebody asked to cancel these; what is claimed without knowing so will be told. */
  noteCancelled(ids: readonly string[]): void {
    if (!this.#claiming) return;
    for (const id of ids.slice(0, MOST_CANCELLED - this.#cancelled.size)) this.#cancelled.add(id);
  }

  /** Claims no more. Resolves when the claim on its way, if any, was taken. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#later);
    this.#options.endClaim();
    await this.#claiming;
  }

  #pump(): void {
    const { demand, canRecord } = this.#options;
    if (this.#claiming || this.#stopped || !this.#moreMayWait) return;
    const wanted = demand();
    if (wanted.limit < 1 || !canRecord()) return;
    this.#claiming = this.#claim(wanted).finally(() => {
      this.#claiming = undefined;
      this.#cancelled.clear();
      this.#pump();
      if (!this.#claiming) this.#options.onPause();
    });
  }

  async #claim(demand: Demand): Promise<void> {
    const { claim, onClaimed, onUnclaimed } = this.#options;
    const askedAtMs = performance.now();
    this.#moreMayWait = false;
    try {
      const commands = await claim(demand);
      this.#failed = false;
      this.#plan(commands.length, demand, performance.now() - askedAtMs);
      if (this.#mayStart(commands)) await onClaimed(this.#withRequests(commands), demand);
      else onUnclaimed();
    } catch (error) {
      this.#complain(error);
      // The next beat says whether work waits, and whether a claim's reply was lost.
      onUnclaimed();
      this.#claimLater();
    }
  }

  /** After a long wait that may have changed. What is not started goes back with the next beat. */
  #mayStart({ length }: ClaimedCommand[]): boolean {
    const { canRecord, pollIntervalMs, log } = this.#options;
    if (pollIntervalMs === undefined || length === 0 || canRecord()) return true;
    log.warn({ commands: length }, 'claimed what cannot be recorded: not starting it');
    return false;
  }

  #plan(claimed: number, { limit, ahead }: Demand, tookMs: number): void {
    const { pollIntervalMs } = this.#options;
    // Of what may not wait for a slot, nothing was claimed ahead.
    if (pollIntervalMs === undefined) this.#moreMayWait ||= claimed >= limit - ahead;
    else if (claimed > 0 || tookMs >= LEAST_WAITED_MS) this.#moreMayWait = true;
    else this.#claimLater();
  }

  /** With jitter, so that many agents that lost one server do not return to it at the same moment. */
  #claimLater(): void {
    const { pollIntervalMs } = this.#options;
    if (pollIntervalMs === undefined || this.#stopped) return;
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.wake(), pollIntervalMs * (0.5 + Math.random() / 2));
  }

  /** Where the next try comes by itself, and another after it, once is enough. */
  #complain(error: unknown): void {
    const { pollIntervalMs, log } = this.#options;
    const isKnown = this.#failed && pollIntervalMs !== undefined;
    log[isKnown ? 'debug' : 'warn']({ err: error }, 'could not claim');
    this.#failed = true;
  }

  #withRequests(commands: ClaimedCommand[]): ClaimedCommand[] {
    if (this.#cancelled.size === 0) return commands;
    return commands.map((command) =>
      this.#cancelled.has(command.id) ? { ...command, cancelRequested: true } : command,
    );
  }
}
