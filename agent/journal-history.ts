// What the journal keeps of outcomes that the ledger has acknowledged: the newest, bounded in number
// and in bytes. Rows are numbered without gaps and only ever dropped from the old end, so that what to
// drop follows from numbers in memory: one range delete now and then, nothing per row.

import { JournalDamagedError } from './journal-damage.ts';
import type { Summary } from './journal-rows.ts';

export interface HistoryLimits {
  maxRows: number;
  maxBytes: number;
}

const LIMITS: HistoryLimits = { maxRows: 10_000, maxBytes: 32 * 1_048_576 };

/** Dropping starts when a limit is exceeded by this share of it. */
const SLACK = 0.1;

export class History {
  readonly #limits: HistoryLimits;
  /** Of each row from `#firstSeq` on. */
  readonly #sizes: number[] = [];
  #firstSeq: number;
  #bytes = 0;
  /** The newest completed outcome of each command, oldest first. */
  readonly #completed = new Map<string, number>();

  constructor(firstSeq: number, limits: HistoryLimits = LIMITS) {
    this.#firstSeq = firstSeq;
    this.#limits = limits;
  }

  get lastSeq(): number {
    return this.#firstSeq + this.#sizes.length - 1;
  }

  /** @throws JournalDamagedError when this is not the next row. */
  add({ seq, commandId, completed, bytes }: Summary): void {
    if (seq !== this.lastSeq + 1) {
      throw new JournalDamagedError(`row ${this.lastSeq + 1} is missing`);
    }
    this.#sizes.push(bytes);
    this.#bytes += bytes;
    if (!completed) return;
    this.#completed.delete(commandId);
    this.#completed.set(commandId, seq);
  }

  /** The row that holds a command's result, if it has been completed here. */
  find(commandId: string): number | undefined {
    return this.#completed.get(commandId);
  }

  /** The oldest row to keep, if it is time to drop the ones before it; the unacknowledged all stay. */
  oldestToKeep(firstUnacknowledged: number): number | undefined {
    const { maxRows, maxBytes } = this.#limits;
    const tooMany = this.#sizes.length > maxRows * (1 + SLACK);
    const tooBig = this.#bytes > maxBytes * (1 + SLACK);
    if (!tooMany && !tooBig) return undefined;
    let dropped = 0;
    let bytes = this.#bytes;
    while (
      this.#firstSeq + dropped < firstUnacknowledged &&
      (this.#sizes.length - dropped > maxRows || bytes > maxBytes)
    ) {
      bytes -= this.#sizes[dropped] ?? 0;
      dropped += 1;
    }
    return dropped > 0 ? this.#firstSeq + dropped : undefined;
  }

  dropBefore(seq: number): void {
    const dropped = this.#sizes.splice(0, seq - this.#firstSeq);
    this.#bytes -= dropped.reduce((sum, bytes) => sum + bytes, 0);
    this.#firstSeq = seq;
    for (const [commandId, row] of this.#completed) {
      if (row >= seq) break;
      this.#completed.delete(commandId);
    }
  }
}
