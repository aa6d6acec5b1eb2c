// Looks at the ledger all through a run: finished rows must stay as they are, and the promises that
// hold at all times must hold at every look.

import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import type { Violation } from './verdict.ts';

const EVERY_MS = 500;

/** These hold after healing only. */
const LATER = ['I11', 'I13'];

interface Finished {
  id: string;
  state: string;
}

export class Watch {
  readonly violations: Violation[] = [];
  readonly #pool: pg.Pool;
  readonly #finished = new Map<string, string>();

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** Looks again and again until the signal aborts, and once more then. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look();
      await pause(EVERY_MS, undefined, { signal }).catch(() => {});
    }
    await this.#look();
  }

  async #look(): Promise<void> {
    await this.#compareFinished();
    const { rows } = await this.#pool.query<{ invariant: string; promise: string }>(
      `select invariant, promise
       from executor.invariants
       where violations <> 0 and invariant <> all ($1)`,
      [LATER],
    );
    for (const { invariant, promise } of rows)
      if (!this.violations.some((known) => known.invariant === invariant))
        this.violations.push({ invariant, what: `broken while faults went on: ${promise}` });
  }

  async #compareFinished(): Promise<void> {
    const { rows } = await this.#pool.query<Finished>(
      `select id, md5(c::text) as state from executor.commands c where finished_at is not null`,
    );
    const now = new Map(rows.map(({ id, state }) => [id, state]));
    for (const [id, state] of this.#finished)
      if (now.get(id) !== state)
        this.violations.push({ invariant: 'I4', what: 'a finished command changed', id });
    for (const [id, state] of now) this.#finished.set(id, state);
  }
}
