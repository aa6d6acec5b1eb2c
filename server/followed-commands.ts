// Commands that somebody follows one by one: readers of their events, and requests that wait for the
// end.
//
// What changes is read for all of them together, one query at a time; a hint that comes while its
// command waits to be read adds nothing. So what a follower gets is in order, and what it gets last is
// as new as the last hint.

import type { Kysely } from 'kysely';
import { Batcher } from '../db/batcher.ts';
import type { CommandVersion } from '../db/command-json.ts';
import { readCommands } from '../db/command-list.ts';
import { isUnavailable } from '../db/errors.ts';
import type { DB } from '../db/schema.ts';
import type { Logger } from '../runtime/log.ts';
import type { Changes, Follower } from './changes.ts';
import { Complaints } from './complaints.ts';

/** Gets the command as it is; undefined when there is none any more. Not only when it changed. */
export type OnVersion = (version: CommandVersion | undefined) => void;

/** A payload may have a megabyte. */
const MOST_READ = 200;

export class FollowedCommands implements Follower {
  readonly #changes: Changes;
  readonly #complaints: Complaints;
  readonly #followers = new Map<string, Set<OnVersion>>();
  /** Those whose reading has not begun. */
  readonly #due = new Set<string>();
  readonly #reads: Batcher<string, CommandVersion | undefined>;
  #leave: (() => void) | undefined;

  constructor(db: Kysely<DB>, changes: Changes, log: Logger) {
    this.#changes = changes;
    this.#complaints = new Complaints(log);
    this.#reads = new Batcher((ids) => this.#readAll(db, ids), { maxItems: MOST_READ });
  }

  /** Calls back whenever the command may have changed, until the answer is called. */
  follow(id: string, onVersion: OnVersion): () => void {
    const followers = this.#followers.get(id) ?? new Set();
    this.#followers.set(id, followers.add(onVersion));
    this.#leave ??= this.#changes.follow(this);
    return () => {
      followers.delete(onVersion);
      if (followers.size === 0 && this.#followers.get(id) === followers) this.#followers.delete(id);
      if (this.#followers.size > 0) return;
      this.#leave?.();
      this.#leave = undefined;
    };
  }

  /** The command as it is now. */
  async read(id: string): Promise<CommandVersion | undefined> {
    return await this.#reads.add(id);
  }

  onChanged(ids: string[]): void {
    for (const id of ids) if (this.#followers.has(id)) this.#reread(id);
  }

  onGap(): void {
    for (const id of this.#followers.keys()) this.#reread(id);
  }

  #reread(id: string): void {
    if (this.#due.has(id)) return;
    this.#due.add(id);
    this.#reads.add(id).then(
      (version) => {
        for (const onVersion of this.#followers.get(id) ?? []) onVersion(version);
      },
      (error: unknown) => {
        if (!isUnavailable(error))
          this.#complaints.about('reading commands failed', { err: error });
        this.#changes.lookAgain();
      },
    );
  }

  async #readAll(db: Kysely<DB>, ids: string[]): Promise<(CommandVersion | undefined)[]> {
    for (const id of ids) this.#due.delete(id);
    const versions = await readCommands(db, [...new Set(ids)]);
    this.#complaints.settle();
    const byId = new Map(versions.map((version) => [version.command.id, version]));
    return ids.map((id) => byId.get(id));
  }
}
