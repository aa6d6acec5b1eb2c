// The journal while the agent works: an attempt's outcome is on disk before it is reported.
//
// Outcomes that arrive in one turn of the event loop share a commit. node:sqlite blocks the event loop
// meanwhile: for well under a millisecond as a rule, for longer when the disk is busy; the lifeline
// beats in a thread of its own.
//
// A journal that cannot be written, or has no space, keeps the agent from claiming and from beginning, and
// from nothing else: what runs goes on, and what it comes to is reported unrecorded. Every beat tries
// whether it can be written again. (Space is looked at before each claim; another failure shows at the first
// write, when one more claim may be on its way.)

import { Batcher } from '../db/batcher.ts';
import type { Logger } from '../runtime/log.ts';
import { isDamage } from './journal-damage.ts';
import type { JournalFile, Outcome } from './journal-file.ts';
import type { Executed } from './journal-rows.ts';

const MAX_BATCH = 500;

/** The number of a recorded outcome; undefined when it could not be recorded. */
type Receipt = number | undefined;

export class Journal {
  readonly #file: JournalFile;
  readonly #session: string;
  readonly #log: Logger;
  readonly #batcher = new Batcher<Outcome, Receipt>(
    (outcomes) => Promise.resolve(this.#append(outcomes)),
    { maxItems: MAX_BATCH },
  );
  #state: 'usable' | 'unusable' | 'damaged' = 'usable';

  /** `session` is the one that the outcomes to come belong to. */
  constructor(file: JournalFile, session: string, log: Logger) {
    this.#file = file;
    this.#session = session;
    this.#log = log;
    // Before anything is claimed: a disk may have been full for long.
    this.#attempt(() => file.probe());
  }

  /** Whether the last that was heard of it is good. */
  get isUsable(): boolean {
    return this.#state === 'usable';
  }

  /** Whether outcomes can be recorded, as far as can be told: to be asked before each claim. */
  canRecord(): boolean {
    return this.isUsable && this.#attempt(() => this.#file.requireSpace());
  }

  /** Resolves when the outcome is on disk, or cannot be brought there. Never rejects. */
  record(outcome: Outcome): Promise<Receipt> {
    return this.#batcher.add(outcome);
  }

  /** The ledger has answered. A crash before this is written down repeats a report, harmlessly. */
  acknowledge(receipt: Receipt): void {
    if (receipt !== undefined) this.#file.acknowledge(receipt);
  }

  /**
   * What a command came to if this agent, in this process or an earlier one, has completed it.
   *
   * @throws when that cannot be read.
   */
  recall(commandId: string): Executed | undefined {
    try {
      return this.#file.recall(commandId);
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  /** To be called now and then: writes down what is acknowledged, or tries whether writing works again. */
  check(): void {
    if (this.#state === 'usable') this.#attempt(() => this.#file.save());
    if (this.#state !== 'unusable') return;
    if (this.#attempt(() => this.#file.probe())) {
      this.#state = 'usable';
      this.#log.info('the journal can be written again');
    }
  }

  #append(outcomes: Outcome[]): Receipt[] {
    let receipts: Receipt[] = [];
    this.#attempt(() => {
      receipts = this.#file.append(this.#session, outcomes);
    });
    if (receipts.length === 0) {
      this.#log.warn({ outcomes: outcomes.length }, 'reporting what is not in the journal');
    }
    return receipts;
  }

  #attempt(write: () => void): boolean {
    try {
      write();
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /** Said once, not at every try. */
  #fail(error: unknown): void {
    const state = isDamage(error) ? 'damaged' : 'unusable';
    if (this.#state === state || this.#state === 'damaged') return;
    this.#state = state;
    const until = state === 'damaged' ? 'the agent starts with another' : 'it can be written';
    this.#log.error({ err: error }, `the journal is ${state}: claiming nothing until ${until}`);
  }
}
