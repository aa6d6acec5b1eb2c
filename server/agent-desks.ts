// What serves agents that come over HTTP, put together.

import type { Database } from '../db/connect.ts';
import type { Logger } from '../runtime/log.ts';
import { BeatDesk } from './beat-desk.ts';
import { ClaimDesk } from './claim-desk.ts';
import { ResultDesk } from './result-desk.ts';
import { WakeUps } from './wake-ups.ts';

export interface AgentDesksOptions {
  database: Database;
  /** Where to listen: not through a pooler in transaction mode. */
  url: string;
  log: Logger;
}

export class AgentDesks {
  readonly claims: ClaimDesk;
  readonly beats: BeatDesk;
  readonly results: ResultDesk;
  readonly #wakeUps: WakeUps;
  readonly #ended = new AbortController();

  constructor({ database, url, log }: AgentDesksOptions) {
    this.#wakeUps = new WakeUps(url, log);
    this.claims = new ClaimDesk(database, this.#wakeUps, log);
    this.beats = new BeatDesk(database, this.#wakeUps, (identity, answer) =>
      this.claims.noteBeat(identity, answer),
    );
    this.results = new ResultDesk(database, log);
  }

  /** Aborts when the server stops: nobody may be held any longer. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Lets go of all agents at once: they go on at another server, or wait for this one. */
  end(): void {
    this.#ended.abort();
    this.claims.close();
  }

  async close(): Promise<void> {
    this.end();
    await this.#wakeUps.close();
  }
}
