// Everything that follows commands for clients: streams of events, and requests that wait.

import type { Kysely } from 'kysely';
import type { DB } from '../db/schema.ts';
import type { Logger } from '../runtime/log.ts';
import { Changes, type ChangesOptions } from './changes.ts';
import { EventStreams, type StreamLimits } from './event-streams.ts';
import { FollowedCommands } from './followed-commands.ts';
import { LiveLists } from './live-lists.ts';

export interface FollowingOptions {
  /** Where to listen: not through a pooler in transaction mode. */
  url: string;
  kysely: Kysely<DB>;
  log: Logger;
  /** For tests. */
  times?: Omit<ChangesOptions, 'log'>;
  limits?: Partial<StreamLimits>;
}

export class Following {
  readonly commands: FollowedCommands;
  readonly lists: LiveLists;
  readonly streams: EventStreams;
  readonly #changes: Changes;
  readonly #ended = new AbortController();

  constructor({ url, kysely, log, times, limits }: FollowingOptions) {
    this.#changes = new Changes(url, { log, ...times });
    this.commands = new FollowedCommands(kysely, this.#changes, log);
    this.lists = new LiveLists(kysely, this.#changes, log);
    this.streams = new EventStreams(log, limits);
  }

  /** Aborts when the server stops: nobody may be held any longer. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Lets go of all clients at once: their answers must not hold up the stop. */
  end(): void {
    this.#ended.abort();
    this.streams.end();
  }

  async close(): Promise<void> {
    this.end();
    await this.#changes.close();
  }
}
