// Where agents that come over HTTP claim, and wait for work.
//
//   poll ─▶ claim ─▶ something: answer
//             ▲  └─▶ nothing: wait ─▶ woken by NOTIFY ─┐
//             └────────────────────────────────────────┘   or the time is up: answer nothing
//
// Claims that are made while a statement is in flight share the next one. While agents wait nothing is
// sent but a sign of life every 5 s, for all of them together that do not beat here by themselves.
//
// A NOTIFY wakes one that may claim the work. While there is more than an agent asked for it wakes two
// others: a burst wakes everybody in a few rounds. One that was woken and cannot claim after all has all
// others look.
//
// A poll looks before it waits, and what is announced while it looks makes it look again. Should a wake-up
// get lost all the same, the answer to the next sign of life says who is to look. What was claimed for an
// agent that has gone away in the meantime is taken back at once.

import { setTimeout as pause } from 'node:timers/promises';
import type { Identity } from '../db/agents.ts';
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
import type { Logger } from '../runtime/log.ts';
import { Problem } from './problem.ts';
import { Waiter, Waiters } from './waiters.ts';
import type { WakeUps } from './wake-ups.ts';

const MOST_A_STATEMENT = 100;
const MOST_WAITING = 10_000;
const KEEP_ALIVE_MS = 5_000;

/** A listening connection over which nothing was asked for so long may be dead. */
const LONGEST_SILENCE_MS = 60_000;

/**
 * How often something is tried. Beyond that, what is to be taken back is for the agent's beats or its
 * attempts' deadlines.
 */
const MOST_TRIES = 8;

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
  readonly #waiters = new Waiters();
  #keepingAlive: NodeJS.Timeout | undefined;
  #keptAliveAtMs = -Infinity;

  constructor(database: Database, wakeUps: WakeUps, log: Logger) {
    this.#database = database;
    this.#wakeUps = wakeUps;
    this.#log = log;
    this.#claims = new Batcher((requests) => claimMany(database, requests), {
      maxItems: MOST_A_STATEMENT,
    });
    wakeUps.add({
      onWork: (payload) => this.#hear(payload),
      onGap: () => this.#waiters.wakeAll(),
    });
  }

  /**
   * Claims, and waits for work if there is none. Of two that wait for the same agent the first is answered
   * nothing: its client has gone, or should not have asked twice.
   *
   * @throws what the database throws when it is away: whether something was claimed then is not known.
   */
  async claim(request: ClaimRequest, waiting: Waiting): Promise<ClaimAnswer> {
    this.#waiters.get(request.agentId)?.dismiss();
    if (waiting.ms === 0) return await this.#look(request, waiting.signal);
    if (this.#waiters.size >= MOST_WAITING) throw tooMany();
    const waiter = new Waiter(request);
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
    for (const waiter of this.#waiters.all()) waiter.dismiss();
  }

  /** An agent has beaten, so that its open poll need not show that it lives. `ready`: work may wait for it. */
  noteBeat({ agentId, session }: Identity, { ready }: { ready: boolean }): void {
    const waiter = this.#waiters.get(agentId);
    if (waiter?.session !== session) return;
    waiter.noteBeat();
    if (ready) waiter.rouse();
  }

  async #lookAndWait(waiter: Waiter, { ms, signal }: Waiting): Promise<ClaimAnswer> {
    const { request } = waiter;
    const end = () => waiter.dismiss();
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    /** Whether it looks because it was woken, and others were not. */
    let isCalled = false;
    try {
      for (;;) {
        waiter.missed = false;
        const answer = await this.#look(waiter.request, signal);
        if (answer.commands.length > 0 || waiter.isOver) return answer;
        if (answer.answer === 'claimed' || answer.answer === 'draining') {
          if (waiter.know(answer)) this.#waiters.wakeAll();
        } else if (waiter.request !== request) {
          // Its session was never its own: it has none, and is as good as new.
          waiter.request = request;
          continue;
        } else {
          if (isCalled) this.#waiters.wakeAll();
          return answer;
        }
        if (!waiter.missed && (await waiter.wait()) === 'over') return answer;
        isCalled = true;
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
        this.#waiters.wake(lane, 2);
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

  #enter(waiter: Waiter): void {
    this.#waiters.enter(waiter);
    this.#wakeUps.listen();
    this.#keepingAlive ??= setInterval(() => void this.#keepAlive(), KEEP_ALIVE_MS);
  }

  #leave(waiter: Waiter): void {
    this.#waiters.leave(waiter);
    if (this.#waiters.size > 0) return;
    clearInterval(this.#keepingAlive);
    this.#keepingAlive = undefined;
  }

  async #keepAlive(): Promise<void> {
    const sessions = new Map<string, string>();
    for (const { request, session, beats } of this.#waiters.all())
      if (session && !beats) sessions.set(request.agentId, session);
    const nowMs = performance.now();
    if (sessions.size === 0 && nowMs - this.#keptAliveAtMs < LONGEST_SILENCE_MS) return;
    this.#keptAliveAtMs = nowMs;
    try {
      for (const agentId of await keepAlive(this.#wakeUps, sessions)) this.#call(agentId);
    } catch (error) {
      // That the connection is down is the listener's to say, and it goes on trying.
      this.#log.debug({ err: error }, 'no signs of life for the agents that wait');
    }
  }

  #hear(payload: string): void {
    const target = payload.split(' ')[2];
    if (target === undefined) this.#waiters.wake(payload, 1);
    else this.#call(target);
  }

  #call(agentId: string): void {
    this.#waiters.get(agentId)?.rouse();
  }
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
