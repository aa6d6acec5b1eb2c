// Lists that are followed: whoever reads the same list shares a feed.
//
// One loop reads, one query at a time, so that what it tells is in order: first the lists of readers that
// have nothing yet; then what changed, for all feeds together; then the lists that have to be read again,
// each at most once a second. More hints than can be kept up with are a gap: the lists are then read instead.

import type { Kysely } from 'kysely';
import { listCommands, readCommands } from '../db/command-list.ts';
import type { PageQuery } from '../db/command-walks.ts';
import { isUnavailable } from '../db/errors.ts';
import type { DB } from '../db/schema.ts';
import type { Logger } from '../runtime/log.ts';
import type { Changes, Follower } from './changes.ts';
import { Complaints } from './complaints.ts';
import { ListFeed } from './list-feed.ts';

export interface ListReader {
  send(events: Buffer): void;
  /** Aborts once nobody reads any more. */
  closed: AbortSignal;
}

/** A payload may have a megabyte. */
const MOST_READ = 200;
const MOST_CHANGED = 1_000;
const PAUSE_MS = 1_000;

interface Joining {
  reader: ListReader;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** A feed and its readers. */
interface Channel {
  feed: ListFeed;
  readers: Set<ListReader>;
  /** Those that have nothing yet. */
  joining: Set<Joining>;
  /** Until then the list is not read again for the others. */
  restsUntilMs: number;
}

export class LiveLists implements Follower {
  readonly #db: Kysely<DB>;
  readonly #changes: Changes;
  readonly #complaints: Complaints;
  readonly #channels = new Map<string, Channel>();
  readonly #changed = new Set<string>();
  #isRunning = false;
  #timer: NodeJS.Timeout | undefined;
  #leave: (() => void) | undefined;

  constructor(db: Kysely<DB>, changes: Changes, log: Logger) {
    this.#db = db;
    this.#changes = changes;
    this.#complaints = new Complaints(log);
  }

  /** Resolves once the reader has the list; from then on it gets what changes, until it closes. */
  async join(query: PageQuery, reader: ListReader): Promise<void> {
    if (reader.closed.aborted) return;
    const key = JSON.stringify(query);
    const channel = this.#channels.get(key) ?? newChannel(query);
    this.#channels.set(key, channel);
    this.#leave ??= this.#changes.follow(this);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const joining = { reader, resolve, reject };
    channel.joining.add(joining);
    reader.closed.addEventListener('abort', () => {
      channel.readers.delete(reader);
      channel.joining.delete(joining);
      resolve();
      this.#drop(key, channel);
    });
    this.#wake();
    await promise;
  }

  onChanged(ids: string[]): void {
    for (const id of ids) this.#changed.add(id);
    if (this.#changed.size > MOST_CHANGED) this.onGap();
    else this.#wake();
  }

  onGap(): void {
    this.#changed.clear();
    for (const { feed } of this.#channels.values()) feed.isStale = true;
    this.#wake();
  }

  #drop(key: string, channel: Channel): void {
    if (channel.readers.size > 0 || channel.joining.size > 0) return;
    if (this.#channels.get(key) === channel) this.#channels.delete(key);
    if (this.#channels.size > 0) return;
    clearTimeout(this.#timer);
    this.#leave?.();
    this.#leave = undefined;
  }

  #wake(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    clearTimeout(this.#timer);
    // What comes in the same turn is read together.
    setImmediate(() => void this.#run());
  }

  async #run(): Promise<void> {
    try {
      while (await this.#readNext());
    } catch (error) {
      if (!isUnavailable(error)) this.#complaints.about('reading lists failed', { err: error });
      for (const channel of this.#channels.values()) rest(channel);
      this.onGap();
    }
    this.#isRunning = false;
    this.#sleep();
  }

  /** Answers whether there was anything to read. */
  async #readNext(): Promise<boolean> {
    const channels = [...this.#channels.values()];
    const joined = channels.find(({ joining }) => joining.size > 0);
    if (!joined && this.#changed.size > 0) {
      await this.#readChanged();
      return true;
    }
    const nowMs = performance.now();
    const due =
      joined ?? channels.find(({ feed, restsUntilMs }) => feed.isStale && restsUntilMs <= nowMs);
    if (due) await this.#readList(due);
    return due !== undefined;
  }

  async #readChanged(): Promise<void> {
    const ids = [...this.#changed].slice(0, MOST_READ);
    for (const id of ids) this.#changed.delete(id);
    // Whoever has nothing yet will have it with the list.
    const channels = [...this.#channels.values()].filter(({ readers }) => readers.size > 0);
    if (channels.length === 0) return;
    const versions = await readCommands(this.#db, ids);
    this.#complaints.settle();
    const byId = new Map(versions.map((version) => [version.command.id, version]));
    for (const { feed, readers } of channels) {
      const events = ids.map((id) => feed.change(id, byId.get(id)));
      const news = events.filter((event) => event !== undefined);
      if (news.length > 0) sendAll(readers, Buffer.concat(news));
    }
  }

  async #readList(channel: Channel): Promise<void> {
    const joining = [...channel.joining];
    rest(channel);
    try {
      const { commands, next } = await listCommands(this.#db, channel.feed.query);
      const { snapshot, isNews } = channel.feed.replace(commands, next !== undefined);
      if (isNews) sendAll(channel.readers, snapshot);
      for (const each of joining) {
        // It may have gone meanwhile.
        if (!channel.joining.delete(each)) continue;
        channel.readers.add(each.reader);
        each.reader.send(snapshot);
        each.resolve();
      }
    } catch (error) {
      for (const each of joining) if (channel.joining.delete(each)) each.reject(error);
      throw error;
    }
  }

  #sleep(): void {
    const stale = [...this.#channels.values()].filter(({ feed }) => feed.isStale);
    if (stale.length === 0) return;
    const nextAtMs = Math.min(...stale.map(({ restsUntilMs }) => restsUntilMs));
    this.#timer = setTimeout(() => this.#wake(), Math.max(0, nextAtMs - performance.now()));
  }
}

function newChannel(query: PageQuery): Channel {
  return { feed: new ListFeed(query), readers: new Set(), joining: new Set(), restsUntilMs: 0 };
}

function rest(channel: Channel): void {
  channel.restsUntilMs = performance.now() + PAUSE_MS;
}

function sendAll(readers: Set<ListReader>, events: Buffer): void {
  for (const reader of readers) reader.send(events);
}
