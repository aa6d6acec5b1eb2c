// An agent's outcomes on disk: a SQLite file, written in batches of one fsync each.
//
// Outcomes are rows in the order in which they were recorded. The ledger answers reports in that order
// too (nearly: what is out of order is reported once more after a crash, which changes nothing), so one
// number, written along with the next batch, says which are acknowledged: all before it. These stay for
// a while, as the history that people read and as answers for a command that comes back.

import { statfsSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Report } from '../db/agents.ts';
import { refuseRemains, refuseUnsound } from './journal-damage.ts';
import { History, type HistoryLimits } from './journal-history.ts';
import * as rows from './journal-rows.ts';

/** What an attempt came to. */
export interface Outcome {
  report: Report;
  /** Milliseconds since 1970. */
  executedAt: number;
}

const SCHEMA = `
  create table if not exists outcomes (
    seq integer primary key,
    command_id text not null,
    attempt integer not null,
    session text not null,
    outcome text not null,
    body text not null, -- the result or the error, as JSON
    executed_at integer not null
  ) strict;
  create table if not exists progress (
    first_unacknowledged integer not null,
    probes integer not null
  ) strict;
  insert into progress select 1, 0 where not exists (select 1 from progress);
  create view if not exists executed_commands (commandId, executedAt) as
    select command_id, max(executed_at) from outcomes group by command_id;
`;

/** As much as the largest result takes. */
const MIN_FREE_BYTES = 1_048_576;

/** After a burst the write-ahead log shrinks back to this. */
const LOG_BYTES = 8 * 1_048_576;

/** How long somebody else at the file, such as a person with sqlite3, may keep us waiting. */
const BUSY_MS = 250;

export class JournalFile {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #history: History;
  readonly #insert: StatementSync;
  readonly #saveProgress: StatementSync;
  readonly #dropBefore: StatementSync;
  readonly #unacknowledged = new Set<number>();
  #savedProgress: number;

  /** @throws what SQLite throws, or JournalDamagedError; `isDamage` knows either. */
  constructor(path: string, limits?: HistoryLimits) {
    refuseRemains(path);
    this.#path = path;
    this.#database = new DatabaseSync(path, { timeout: BUSY_MS });
    try {
      this.#open();
      const { progress, first } = this.#readProgress();
      this.#savedProgress = progress;
      this.#history = new History(first, limits);
      this.#load();
      this.#insert = this.#database.prepare('insert into outcomes values (?, ?, ?, ?, ?, ?, ?)');
      this.#saveProgress = this.#database.prepare('update progress set first_unacknowledged = ?');
      this.#dropBefore = this.#database.prepare('delete from outcomes where seq < ?');
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** Records outcomes, all or none; answers their numbers once they are on disk. */
  append(session: string, outcomes: Outcome[]): number[] {
    const first = this.#history.lastSeq + 1;
    const bodies = outcomes.map(({ report }) => rows.toBody(report));
    this.#write(() => {
      outcomes.forEach(({ report: { id, attempt, outcome }, executedAt }, i) => {
        this.#insert.run(first + i, id, attempt, session, outcome, bodies[i] ?? '', executedAt);
      });
    });
    outcomes.forEach(({ report }, i) => {
      this.#history.add({
        seq: first + i,
        commandId: report.id,
        completed: report.outcome === 'completed',
        bytes: Buffer.byteLength(bodies[i] ?? ''),
      });
      this.#unacknowledged.add(first + i);
    });
    return outcomes.map((_, i) => first + i);
  }

  /** The ledger has answered. The next `append` or `save` writes it down. */
  acknowledge(seq: number): void {
    this.#unacknowledged.delete(seq);
  }

  save(): void {
    if (this.#progress() !== this.#savedProgress) this.#write(() => {});
  }

  /** The oldest outcomes that the ledger has yet to acknowledge. */
  unacknowledged(limit: number): rows.Entry[] {
    return this.#database
      .prepare('select * from outcomes where seq >= ? order by seq limit ?')
      .all(this.#progress(), limit)
      .map(rows.toEntry);
  }

  /** What a command came to here, if it was completed and that is still known. */
  recall(commandId: string): rows.Executed | undefined {
    const seq = this.#history.find(commandId);
    if (seq === undefined) return undefined;
    const row = this.#database
      .prepare('select body, executed_at as "executedAt" from outcomes where seq = ?')
      .get(seq);
    return rows.toExecuted(row);
  }

  /** Throws when the disk has no space for more; costs microseconds. */
  requireSpace(): void {
    const { bavail, bsize } = statfsSync(this.#path);
    if (bavail * bsize < MIN_FREE_BYTES) throw new Error('less than 1 MiB of disk space is left');
  }

  /** Throws when nothing can be written. */
  probe(): void {
    this.requireSpace();
    // A change: SQLite does not write what stays as it is.
    this.#write(() => this.#database.exec('update progress set probes = probes + 1'));
  }

  /** What cannot be written by now is reported once more. */
  close(): void {
    try {
      this.save();
    } catch {
      // Has been said, or does not matter any more.
    }
    this.#database.close();
  }

  #open(): void {
    refuseUnsound(this.#database.prepare('pragma quick_check(1)').get()?.['quick_check']);
    this.#database.exec(
      `pragma journal_mode = wal;
       pragma synchronous = full;
       pragma journal_size_limit = ${LOG_BYTES}`,
    );
    this.#database.exec(`begin immediate; ${SCHEMA}; commit`);
  }

  #readProgress(): { progress: number; first: number } {
    const row = this.#database.prepare(
      `select first_unacknowledged as progress,
              coalesce((select min(seq) from outcomes), first_unacknowledged) as first
       from progress`,
    );
    return rows.toProgress(row.get());
  }

  #load(): void {
    const summaries = this.#database.prepare(
      `select seq, command_id as "commandId", outcome = 'completed' as completed,
              octet_length(body) as bytes
       from outcomes order by seq`,
    );
    for (const row of summaries.iterate()) this.#history.add(rows.toSummary(row));
    const entries = this.#database.prepare('select * from outcomes where seq >= ? order by seq');
    for (const row of entries.iterate(this.#savedProgress))
      this.#unacknowledged.add(rows.toEntry(row).seq);
  }

  #write(work: () => void): void {
    const progress = this.#progress();
    const oldest = this.#history.oldestToKeep(progress);
    this.#database.exec('begin immediate');
    try {
      work();
      if (progress !== this.#savedProgress) this.#saveProgress.run(progress);
      if (oldest !== undefined) this.#dropBefore.run(oldest);
      this.#database.exec('commit');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('rollback');
      throw error;
    }
    this.#savedProgress = progress;
    if (oldest !== undefined) this.#history.dropBefore(oldest);
  }

  /** The first row that is not acknowledged, or will not be when it is there. */
  #progress(): number {
    const [first] = this.#unacknowledged;
    return first ?? this.#history.lastSeq + 1;
  }
}
