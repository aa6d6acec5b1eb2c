// Where agents that come over HTTP beat. The answer to a beat may be held until somebody asks to cancel
// what its agent runs, so that it hears of that at once.
//
// Beats are answered by the SQL function beat(), whichever server they come to. What a session was told
// once does not end its next wait: one whose executor takes its time to end would beat without a pause.
// What it has claimed since its beat was sent counts, too: whose a cancelled command is, the ledger says.
//
// No beat is held for longer than until the next one is due: a process that hangs must not look alive.

import { beat, type AttemptKey, type BeatAnswer, type Identity } from '../db/agents.ts';
import { Batcher } from '../db/batcher.ts';
import { ownersOf } from '../db/client-claims.ts';
import type { Database } from '../db/connect.ts';
import type { WakeUps } from './wake-ups.ts';

export interface BeatRequest extends Identity {
  running: AttemptKey[];
  settledClaimNo: number | null;
  draining: boolean;
}

const MOST_OWNERS = 200;
const MOST_TOLD = 10_000;

interface Held {
  session: string;
  /** Something was heard that it has yet to look at. */
  isDue: boolean;
  wake?: () => void;
}

export class BeatDesk {
  readonly #database: Database;
  readonly #wakeUps: WakeUps;
  readonly #onBeat: (identity: Identity, answer: BeatAnswer) => void;
  readonly #held = new Set<Held>();
  readonly #owners: Batcher<string, string | undefined>;
  /** What sessions were told that they are to end. */
  readonly #told = new Map<string, Set<string>>();

  /** `onBeat` is told of each that its agent's session may still say. */
  constructor(
    database: Database,
    wakeUps: WakeUps,
    onBeat: (identity: Identity, answer: BeatAnswer) => void,
  ) {
    this.#database = database;
    this.#onBeat = onBeat;
    this.#wakeUps = wakeUps;
    this.#owners = new Batcher((ids) => ownersOf(database.pool, ids), { maxItems: MOST_OWNERS });
    wakeUps.add({ onCancel: (ids) => this.#hear(ids), onGap: () => this.#hear(undefined) });
  }

  /** Beats, and holds the answer for up to `ms` while there is nothing to tell. */
  async beat(
    request: BeatRequest,
    { ms, signal }: { ms: number; signal: AbortSignal },
  ): Promise<BeatAnswer> {
    if (ms === 0) {
      const answer = await this.#ask(request);
      this.#tell(request, answer);
      return answer;
    }
    const held: Held = { session: request.session, isDue: false };
    const startedAt = performance.now();
    const wake = () => held.wake?.();
    signal.addEventListener('abort', wake);
    this.#held.add(held);
    this.#wakeUps.listen();
    try {
      for (;;) {
        held.isDue = false;
        const answer = await this.#ask(request);
        // Given up: whatever is to be told has to be told again.
        if (signal.aborted) return answer;
        if (this.#tell(request, answer) || answer.superseded || answer.unknown) return answer;
        const leftMs = startedAt + Math.min(ms, answer.intervalMs) - performance.now();
        if (!held.isDue && leftMs > 0) await woken(held, leftMs);
        if (!held.isDue || signal.aborted) return answer;
      }
    } finally {
      signal.removeEventListener('abort', wake);
      this.#held.delete(held);
    }
  }

  async #ask({ agentId, session, ...state }: BeatRequest): Promise<BeatAnswer> {
    const identity = { agentId, session };
    const answer = await beat(this.#database.pool, identity, {
      ...state,
      queues: null,
      types: null,
    });
    if (!answer.superseded && !answer.unknown) this.#onBeat(identity, answer);
    return answer;
  }

  /** Answers whether there is anything among it that the session was not told before. */
  #tell({ session, running }: BeatRequest, { revoked, cancelled }: BeatAnswer): boolean {
    const toEnd = [...revoked, ...cancelled];
    const before = this.#told.get(session);
    const isNews = toEnd.some((id) => !before?.has(id));
    const runs = new Set(running.map(({ id }) => id));
    const told = new Set([...(before ?? []), ...toEnd].filter((id) => runs.has(id)));
    this.#told.delete(session);
    if (told.size === 0) return isNews;
    this.#told.set(session, told);
    // One that died is never heard of again: the one that was told longest ago is forgotten.
    const [first] = this.#told.keys();
    if (this.#told.size > MOST_TOLD && first !== undefined) this.#told.delete(first);
    return isNews;
  }

  #hear(ids: string[] | undefined): void {
    if (this.#held.size === 0) return;
    if (!ids) return this.#wake(() => true);
    for (const id of ids) void this.#wakeOwnerOf(id);
  }

  async #wakeOwnerOf(id: string): Promise<void> {
    try {
      const session = await this.#owners.add(id);
      this.#wake((held) => held.session === session);
    } catch {
      // The database is away: once it is back everybody looks.
    }
  }

  #wake(isMeant: (held: Held) => boolean): void {
    for (const held of this.#held) {
      if (!isMeant(held)) continue;
      held.isDue = true;
      held.wake?.();
    }
  }
}

async function woken(held: Held, ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  held.wake = resolve;
  await promise;
  clearTimeout(timer);
  delete held.wake;
}
