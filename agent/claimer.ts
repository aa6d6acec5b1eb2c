// When the agent claims: when it is woken (NOTIFY, a beat that says work waits, a new connection) and,
// once the queue gave it all that it asked for, whenever a slot becomes free. It never polls.

import type { ClaimedCommand } from '../db/queue.ts';
import type { Logger } from '../runtime/log.ts';

export interface ClaimerOptions {
  /** How many commands there is room for right now. */
  free: () => number;
  /** Whether outcomes can be recorded; asked before each claim. */
  canRecord: () => boolean;
  claim: (limit: number) => Promise<ClaimedCommand[]>;
  /** Takes what was claimed; another claim waits until that is done. */
  onClaimed: (commands: ClaimedCommand[]) => Promise<void>;
  log: Logger;
}

/** Most of what is cancelled during a claim is other agents'. */
const MOST_CANCELLED = 10_000;

export class Claimer {
  readonly #options: ClaimerOptions;
  /** What was cancelled since the claim on its way began: it may bring it, and not know. */
  readonly #cancelled = new Set<string>();
  #claiming: Promise<void> | undefined;
  #moreMayWait = false;
  #pumpIsDue = false;
  #stopped = false;

  constructor(options: ClaimerOptions) {
    this.#options = options;
  }

  /** Work may be waiting: claim, if there is a free slot. */
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
    await this.#claiming;
  }

  #pump(): void {
    const { free, canRecord } = this.#options;
    if (this.#claiming || this.#stopped || !this.#moreMayWait || free() < 1) return;
    if (!canRecord()) return;
    this.#claiming = this.#claim().finally(() => {
      this.#claiming = undefined;
      this.#cancelled.clear();
      this.#pump();
    });
  }

  async #claim(): Promise<void> {
    const { free, claim, onClaimed, log } = this.#options;
    const limit = free();
    this.#moreMayWait = false;
    try {
      const commands = await claim(limit);
      if (commands.length === limit) this.#moreMayWait = true;
      await onClaimed(commands.map((command) => this.#withRequest(command)));
    } catch (error) {
      // The next beat says whether work waits, and whether a claim's reply was lost.
      log.warn({ err: error }, 'could not claim');
    }
  }

  #withRequest(command: ClaimedCommand): ClaimedCommand {
    return this.#cancelled.has(command.id) ? { ...command, cancelRequested: true } : command;
  }
}
