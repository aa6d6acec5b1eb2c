// Where agents that come over HTTP beat. The answer to a beat may be held until somebody asks to cancel
// what its agent runs, so that it hears of that at once.
//
// Beats are answered by the SQL function beat(), whichever server they come to. What a session was told
// once does not end its next wait: one whose executor takes its time to end would beat without a pause.

import { beat, type AttemptKey, type BeatAnswer, type Identity } from '../db/agents.ts';
import type { Database } from '../db/connect.ts';
import type { WakeUps } from './wake-ups.ts';

export interface BeatRequest extends Identity {
  running: AttemptKey[];
  settledClaimNo: number | null;
  draining: boolean;
}

interface Held {
  /** What its agent runs. */
  ids: Set<string>;
  /** Something was heard that it has yet to look at. */
  isDue: boolean;
  wake?: () => void;
}

export class BeatDesk {
  readonly #database: Database;
  readonly #wakeUps: WakeUps;
  readonly #held = new Set<Held>();
  /** What sessions were told that they are to end. */
  readonly #told = new Map<string, Set<string>>();

  constructor(database: Database, wakeUps: WakeUps) {
    this.#database = database;
    this.#wakeUps = wakeUps;
    wakeUps.add({ onCancel: (ids) => this.#hear(ids), onGap: () => this.#hear(undefined) });
  }

  /** Beats, and holds the answer for up to `ms` while there is nothing to tell. */
  async beat(
    request: BeatRequest,
    { ms, signal }: { ms: number; signal: AbortSignal },
  ): Promise<BeatAnswer> {
    if (ms === 0 || request.running.length === 0) {
      const answer = await this.#ask(request);
      this.#tell(request, answer);
      return answer;
    }
    const held: Held = { ids: new Set(request.running.map(({ id }) => id)), isDue: false };
    const over = AbortSignal.any([signal, AbortSignal.timeout(ms)]);
    const wake = () => held.wake?.();
    over.addEventListener('abort', wake);
    this.#held.add(held);
    this.#wakeUps.listen();
    try {
      for (;;) {
        held.isDue = false;
        const answer = await this.#ask(request);
        if (this.#tell(request, answer) || answer.superseded || answer.unknown) return answer;
        if (!held.isDue && !over.aborted) await woken(held);
        if (over.aborted) return answer;
      }
    } finally {
      over.removeEventListener('abort', wake);
      this.#held.delete(held);
    }
  }

  async #ask({ agentId, session, ...state }: BeatRequest): Promise<BeatAnswer> {
    const identity = { agentId, session };
    return await beat(this.#database.pool, identity, { ...state, queues: null, types: null });
  }

  /** Answers whether there is anything among it that the session was not told before. */
  #tell({ session, running }: BeatRequest, { revoked, cancelled }: BeatAnswer): boolean {
    const toEnd = [...revoked, ...cancelled];
    const before = this.#told.get(session);
    const isNews = toEnd.some((id) => !before?.has(id));
    const runs = new Set(running.map(({ id }) => id));
    const told = new Set([...(before ?? []), ...toEnd].filter((id) => runs.has(id)));
    if (told.size > 0) this.#told.set(session, told);
    else this.#told.delete(session);
    return isNews;
  }

  #hear(ids: string[] | undefined): void {
    for (const held of this.#held) {
      if (ids && !ids.some((id) => held.ids.has(id))) continue;
      held.isDue = true;
      held.wake?.();
    }
  }
}

async function woken(held: Held): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  held.wake = resolve;
  await promise;
  delete held.wake;
}
