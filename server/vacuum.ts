// Looks every other second whether vacuum is worth while, and then does it: see db/vacuum.ts.
//
// After a vacuum a table rests for as long as that took, and for nine times as long where it was in vain: what is
// dead an old snapshot (a dump's, a replica's) may still see.

import { isUnavailable } from '../db/errors.ts';
import type { Queryable } from '../db/agents.ts';
import { findBloatedTables, vacuum } from '../db/vacuum.ts';
import type { Logger } from '../runtime/log.ts';
import { Complaints } from './complaints.ts';

const INTERVAL_MS = 2_000;
const RESTS_IN_VAIN = 9;

export class Vacuum {
  readonly #database: Queryable;
  readonly #log: Logger;
  readonly #complaints: Complaints;
  /** By table, on the clock of performance.now(). */
  readonly #restsUntilMs = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(database: Queryable, log: Logger) {
    this.#database = database;
    this.#log = log;
    this.#complaints = new Complaints(log);
    this.#lookLater();
  }

  /** What runs then Postgres finishes, or not: nothing depends on it. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #lookLater(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#look().finally(() => this.#lookLater()), INTERVAL_MS);
  }

  async #look(): Promise<void> {
    try {
      for (const table of await findBloatedTables(this.#database)) {
        if (!this.#closed && performance.now() >= (this.#restsUntilMs.get(table) ?? 0))
          await this.#vacuum(table);
      }
    } catch (error) {
      if (isUnavailable(error)) this.#log.debug({ err: error }, 'no vacuum');
      else this.#complaints.about('vacuum failed', { err: error });
    }
    this.#complaints.settle();
  }

  async #vacuum(table: string): Promise<void> {
    const startedAtMs = performance.now();
    let wasInVain = true;
    try {
      await vacuum(this.#database, table);
      wasInVain = (await findBloatedTables(this.#database)).includes(table);
    } finally {
      const endedAtMs = performance.now();
      const tookMs = Math.round(endedAtMs - startedAtMs);
      const rests = wasInVain ? RESTS_IN_VAIN : 1;
      this.#restsUntilMs.set(table, endedAtMs + rests * tookMs);
      this.#log.debug({ table, tookMs, wasInVain }, 'vacuumed');
    }
  }
}
