// What all readers of one list are told, and what they know by it.
//
// A reader keeps the newest `limit` commands that match: `snapshot` replaces them, `command` adds or
// replaces one, `removed` takes one away. The feed does the same with ids and versions, so it can tell
// whether the readers have the list as it is. It is read again when they may not: something was missed, or
// a list with more behind it has lost one, and the next older belongs in it.

import { matches } from '../db/command-filter.ts';
import type { CommandVersion, PagePosition } from '../db/command-json.ts';
import type { PageQuery } from '../db/command-walks.ts';
import { toEvent } from './event-streams.ts';

/** Of so many commands readers are told when they match no longer, beside the newest. */
const MOST_OTHERS = 1_000;

export class ListFeed {
  readonly query: PageQuery;
  /** Whether the list has to be read again. */
  isStale = true;
  /** All that readers were told of, with the versions. */
  readonly #known = new Map<string, string>();
  /** The newest of these. */
  readonly #list = new Map<string, PagePosition>();
  #hasMore = false;
  #lastVersion = '0';

  constructor(query: PageQuery) {
    this.query = query;
  }

  /** What the readers have to be told of a command that may have changed; undefined: it is gone. */
  change(id: string, version: CommandVersion | undefined): Buffer | undefined {
    if (!version || !matches(this.query.filter, version))
      return this.#known.delete(id) ? this.#remove(id) : undefined;
    if (this.#known.get(id) === version.version) return undefined;
    this.#tell(version);
    return commandEvent(version);
  }

  /** The list as it is: what to send to whom has nothing yet, and whether the others need it too. */
  replace(commands: CommandVersion[], hasMore: boolean): { snapshot: Buffer; isNews: boolean } {
    const isNews = !this.#agrees(commands);
    if (isNews) {
      this.#known.clear();
      this.#list.clear();
      for (const version of commands) this.#tell(version);
    }
    this.#hasMore = hasMore;
    this.isStale = false;
    const data = commands.map(({ command }) => command);
    return { snapshot: toEvent('snapshot', this.#lastVersion, data), isNews };
  }

  #tell({ command: { id }, version, position }: CommandVersion): void {
    this.#known.set(id, version);
    this.#list.set(id, position);
    if (version > this.#lastVersion) this.#lastVersion = version;
    if (this.#list.size > this.query.limit) {
      this.#list.delete(oldestOf(this.#list));
      this.#hasMore = true;
    }
    if (this.#known.size > this.query.limit + MOST_OTHERS) this.isStale = true;
  }

  #remove(id: string): Buffer {
    if (this.#list.delete(id) && this.#hasMore) this.isStale = true;
    return toEvent('removed', this.#lastVersion, { id });
  }

  #agrees(commands: CommandVersion[]): boolean {
    return (
      commands.length === this.#list.size &&
      this.#known.size <= this.query.limit + MOST_OTHERS &&
      commands.every(({ command: { id }, version }) => {
        return this.#list.has(id) && this.#known.get(id) === version;
      })
    );
  }
}

const events = new WeakMap<CommandVersion, Buffer>();

/** The same bytes for all who follow the command. */
export function commandEvent(version: CommandVersion): Buffer {
  const made = events.get(version);
  if (made) return made;
  const event = toEvent('command', version.version, version.command);
  events.set(version, event);
  return event;
}

function oldestOf(list: Map<string, PagePosition>): string {
  let oldest: PagePosition = { createdAt: '~', id: '' };
  for (const position of list.values()) if (isBefore(position, oldest)) oldest = position;
  return oldest.id;
}

function isBefore(a: PagePosition, b: PagePosition): boolean {
  return a.createdAt < b.createdAt || (a.createdAt === b.createdAt && a.id < b.id);
}
