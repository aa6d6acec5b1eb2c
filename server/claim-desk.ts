// Where agents that come over HTTP claim, and wait for work.
//
//   poll ─▶ claim ─▶ something: answer
//             ▲  └─▶ nothing: wait ─▶ woken by NOTIFY ─┐
//             └────────────────────────────────────────┘   or the time is up: answer nothing
//
// Claims that are made while a statement is in flight share the next one. While agents wait nothing is
// sent but a sign of life for all of them together, every 5 s.
//
// Waking all agents for one command would cost a thousand claims. So a NOTIFY wakes one that may claim the
// work, the one that has waited longest. While there is more than an agent asked for it wakes two others:
// a burst wakes everybody in a few rounds.
//
// A poll looks before it waits, and what is announced while it looks makes it look again. Should a wake-up
// get lost all the same, the answer to the next sign of life says who is to look. What was claimed for an agent that has gone away in the meantime is taken back at once.

import { setTimeout as pause } from 'node:timers/promises';
import type { Subscription } from '../db/agents.ts';
import { Batcher } from '../db/batcher.ts';
import {
  claimMany,
  keepAlive,
  takeBack,
  type ClaimAnswer,
  type ClaimRequest,
} from '../db/client-claims.ts';
import type { Command } from '../db/command-json.ts';
import type { Database } from '../db/connect.ts';
import { jitteredBackoffMs } from '../db/backoff.ts';
import { isWorkFor } from '../db/work.ts';
import type { Logger } from '../runtime/log.ts';
import { Problem } from './problem.ts';
import type { WakeUps } from './wake-ups.ts';

const MOST_A_STATEMENT = 100;
const MOST_WAITING = 10_000;
const KEEP_ALIVE_MS = 5_000;

/**
 * How often something is tried. Beyond that, what is to be taken back is for the agent's beats or its
 * attempts' deadlines.
 */
const MOST_TRIES = 8;

/** Why a waiter is woken: work may wait for it, or it is to wait no more. */
type Call = 'work' | 'over';

interface Waiter {
  request: ClaimRequest;
  /** What it comes down to, once the database has said so. */
  subscription?: Subscription;
  session?: string;
  /** Work was announced while it looked. */
  missed: boolean;
  /** While it waits, wakes it. */
  wake?: (call: Call) => void;
  /** It is to wait no more, also if it does not wait right now. */
  isOver: boolean;
}

export interface Waiting {
  ms: number;
  /** Aborts when nobody waits for the answer any more, or the server stops. */
  signal: AbortSignal;
}

export class ClaimDesk {
  readonly #database: Database;
  readonly #wakeUps: WakeUps;
  readonly #log: Logger;
  readonly #claims: Batcher<ClaimRequest, ClaimAnswer>;
  /** By agent, in the order in which they began to wait. */
  readonly #waiters = new Map<string, Waiter>();
  #keepingAlive: NodeJS.Timeout | undefined;

  constructor(database: Database, wakeUps: WakeUps, log: Logger) {
    this.#database = database;
    this.#wakeUps = wakeUps;
    this.#log = log;
    this.#claims = new Batcher((requests) => claimMany(database, requests), {
      maxItems: MOST_A_STATEMENT,
    });
    wakeUps.add({
      onWork: (payload) => this.#hear(payload),
      onGap: () => this.#wakeAll(),
    });
  }

  /**
   * Claims, and waits for work if there is none. Of two that wait for the same agent the first is answered
   * nothing: its client has gone, or should not have asked twice.
   *
   * @throws what the database throws when it is away: whether something was claimed then is not known.
   */
  async claim(request: ClaimRequest, waiting: Waiting): Promise<ClaimAnswer> {
    const earlier = this.#waiters.get(request.agentId);
    if (earlier) dismiss(earlier);
    if (waiting.ms === 0) return await this.#look(request, waiting.signal);
    if (this.#waiters.size >= MOST_WAITING) throw tooMany();
    const waiter: Waiter = { request, missed: false, isOver: false };
    this.#enter(waiter);
    try {
      return await this.#lookAndWait(waiter, waiting);
    } finally {
      this.#leave(waiter);
    }
  }

  /** Takes back what could not be delivered. Never rejects. */
  async takeBack(session: string, commands: Command[]): Promise<void> {
    for (let tries = 1; tries <= MOST_TRIES; tries += 1) {
      try {
        return await takeBack(this.#database.pool, session, commands);
      } catch (error) {
        this.#log.warn({ err: error, session }, 'could not take back what was not delivered');
        await pause(jitteredBackoffMs(tries));
      }
    }
  }

  close(): void {
    clearInterval(this.#keepingAlive);
    for (const waiter of this.#waiters.values()) dismiss(waiter);
  }

  async #lookAndWait(waiter: Waiter, { ms, signal }: Waiting): Promise<ClaimAnswer> {
    const { request } = waiter;
    const end = () => dismiss(waiter);
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    try {
      for (;;) {
        waiter.missed = false;
        const answer = await this.#look(waiter.request, signal);
        const isNothing = answer.commands.length === 0;
        const mayWait = answer.answer === 'claimed' || answer.answer === 'draining';
        if (!isNothing || waiter.isOver) return answer;
        if (!mayWait && waiter.request !== request) {
          // Its session was never its own: it has none, and is as good as new.
          waiter.request = request;
          continue;
        }
        if (!mayWait) return answer;
        this.#know(waiter, answer);
        const call = waiter.missed ? 'work' : await this.#wait(waiter);
        if (call === 'over') return answer;
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
    }
  }

  async #look(request: ClaimRequest, signal: AbortSignal): Promise<ClaimAnswer> {
    const answer = await this.#ask(request, signal);
    const { commands, session } = answer;
    if (commands.length > 0 && signal.aborted) {
      await this.takeBack(session, commands);
      return { ...answer, commands: [] };
    }
    if (answer.more)
      for (const lane of new Set(commands.map(({ queue, type }) => `${queue} ${type}`)))
        this.#wake(lane, 2);
    return answer;
  }

  /** One whose row somebody holds, its own earlier poll at another server say, asks again. */
  async #ask(request: ClaimRequest, signal: AbortSignal): Promise<ClaimAnswer> {
    for (let tries = 1; ; tries += 1) {
      const answer = await this.#claims.add(request);
      if (answer.answer !== 'busy') return answer;
      if (tries === MOST_TRIES || signal.aborted) throw busy();
      await pause(20 * tries);
    }
  }

  #know(waiter: Waiter, { session, queues, types, answer }: ClaimAnswer): void {
    waiter.session = session;
    // From now on it has one; to ask without would say that it has restarted.
    if (waiter.request.session === undefined) waiter.request = { ...waiter.request, session };
    // What drains is woken for no work, and if it just was, somebody else has to look.
    if (answer === 'draining' && waiter.subscription !== NOTHING) {
      if (waiter.subscription) this.#wakeAll();
      waiter.subscription = NOTHING;
    } else if (answer === 'claimed') waiter.subscription = { queues, types };
  }

  async #wait(waiter: Waiter): Promise<Call> {
    const { promise, resolve } = Promise.withResolvers<Call>();
    waiter.wake = (call) => {
      delete waiter.wake;
      resolve(call);
    };
    return await promise;
  }

  #enter(waiter: Waiter): void {
    const { agentId } = waiter.request;
    // A new one comes last.
    this.#waiters.delete(agentId);
    this.#waiters.set(agentId, waiter);
    this.#wakeUps.listen();
    this.#keepingAlive ??= setInterval(() => void this.#keepAlive(), KEEP_ALIVE_MS);
  }

  #leave(waiter: Waiter): void {
    const { agentId } = waiter.request;
    if (this.#waiters.get(agentId) === waiter) this.#waiters.delete(agentId);
    if (this.#waiters.size > 0) return;
    clearInterval(this.#keepingAlive);
    this.#keepingAlive = undefined;
  }

  async #keepAlive(): Promise<void> {
    const sessions = new Map<string, string>();
    for (const [agentId, { session }] of this.#waiters) if (session) sessions.set(agentId, session);
    try {
      for (const agentId of await keepAlive(this.#wakeUps, sessions)) this.#call(agentId);
    } catch (error) {
      // That the connection is down is the listener's to say, and it goes on trying.
      this.#log.debug({ err: error }, 'no signs of life for the agents that wait');
    }
  }

  #hear(payload: string): void {
    const target = payload.split(' ')[2];
    if (target === undefined) this.#wake(payload, 1);
    else this.#call(target);
  }

  #call(agentId: string): void {
    const waiter = this.#waiters.get(agentId);
    if (waiter) rouse(waiter);
  }

  /** Wakes so many of those that may claim this; if none of them waits, those that look are to look again. */
  #wake(payload: string, count: number): void {
    let left = count;
    const looking: Waiter[] = [];
    for (const [agentId, waiter] of this.#waiters) {
      if (left === 0) return;
      if (!waiter.wake) looking.push(waiter);
      else if (isWorkFor(payload, agentId, waiter.subscription ?? NOTHING)) {
        waiter.wake('work');
        left -= 1;
      }
    }
    if (left < count) return;
    for (const waiter of looking) waiter.missed = true;
  }

  #wakeAll(): void {
    for (const waiter of this.#waiters.values()) rouse(waiter);
  }
}

const NOTHING: Subscription = { queues: [], types: [] };

/** Has it look: now if it waits, else once more. */
function rouse(waiter: Waiter): void {
  if (waiter.wake) waiter.wake('work');
  else waiter.missed = true;
}

function dismiss(waiter: Waiter): void {
  waiter.isOver = true;
  waiter.wake?.('over');
}

function busy(): Problem {
  const detail = 'Something else goes on with this agent; ask again.';
  return new Problem(503, 'agent_busy', detail, {
    errors: [{ pointer: '#/agentId', detail }],
    headers: { 'Retry-After': '1' },
  });
}

function tooMany(): Problem {
  const detail = `${MOST_WAITING} agents wait here already.`;
  return new Problem(503, 'too_many_waiting', detail, {
    errors: [{ pointer: '#/query/wait', detail }],
    headers: { 'Retry-After': '5' },
  });
}
