// The lifeline as it runs in its thread: one connection that ties the session to this process, listens
// and beats.
//
//   connect ─▶ session lock ─▶ LISTEN ─▶ beat ─▶ tick, if nobody else did ─▶ wait ─▶ beat …
//
// NOTIFY only saves time. The beat is what makes a lost wake-up harmless: its answer says whether work
// waits, what is no longer ours, and whether this process still is the agent. It goes over the listening
// connection, so that an answered beat also proves that connection alive.
//
// Before each beat the main thread is asked what it runs. If it is too busy to answer, its previous
// answer goes out: that is always safe, however old. What it had settled by then and did not run, it
// never will; and what it has claimed since is of no concern to the beat.

import { beat, holdSession, type Queryable } from '../db/agents.ts';
import { reach } from '../db/check.ts';
import { isUnavailable } from '../db/errors.ts';
import { Listener } from '../db/listen.ts';
import { tick } from '../db/recovery.ts';
import type { AgentState, FromLifeline, LifelineSetup, LogArguments } from './lifeline-messages.ts';

/** Until the first beat is answered; from then on the database says when to beat. */
const FIRST_INTERVAL_MS = 5_000;
const LEAST_INTERVAL_MS = 20;

/** How long a beat waits for the main thread. */
const PATIENCE_MS = 100;

// Less than the listener waits for an answer: a statement that is slow, not unanswered, must not cost the
// connection and with it the session's lock.
const SETUP = `set statement_timeout = '4s'`;

export class LifelineThread {
  readonly #setup: LifelineSetup;
  readonly #tell: (message: FromLifeline) => void;
  readonly #listener: Listener;
  #state: AgentState = { running: [], settledClaimNo: 0 };
  #asked: PromiseWithResolvers<void> | undefined;
  #holdsSession = false;
  #intervalMs = FIRST_INTERVAL_MS;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(setup: LifelineSetup, tell: (message: FromLifeline) => void) {
    this.#setup = setup;
    this.#tell = tell;
    this.#listener = new Listener(setup.url, {
      applicationName: `agent-executor lifeline ${setup.identity.agentId}`.slice(0, 63),
      prepare: (connection) => this.#prepare(connection),
      channels: ['executor_work'],
      onNotification: (_channel, queue) => {
        if (setup.queues.includes(queue)) this.#tellOfWork();
      },
      onListening: () => void this.#beat(),
      onNotice: (notice) => this.#say('warn', { notice }, 'a step of the tick failed'),
      log: {
        debug: (...line: LogArguments) => this.#say('debug', ...line),
        info: (...line: LogArguments) => this.#say('info', ...line),
        warn: (...line: LogArguments) => this.#say('warn', ...line),
      },
    });
  }

  /** @throws StartupError when the database cannot be reached; from then on it heals by itself. */
  async open(): Promise<void> {
    await reach(() => this.#listener.open());
    this.#tell({ kind: 'open' });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#listener.close();
  }

  /** The main thread says what it runs. */
  heed(state: AgentState): void {
    this.#state = state;
    this.#asked?.resolve();
    this.#asked = undefined;
  }

  async #prepare(connection: Queryable): Promise<void> {
    await connection.query(SETUP, []);
    await this.#hold(connection);
  }

  async #hold(connection: Queryable): Promise<void> {
    this.#holdsSession = await holdSession(connection, this.#setup.identity);
    if (!this.#holdsSession)
      this.#say('warn', "another connection holds this session's lock; trying again at each beat");
  }

  async #beat(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      await this.#beatOnce();
    } catch (error) {
      this.#complain(error, 'no beat');
    }
    if (this.#closed) return;
    clearTimeout(this.#timer);
    const waitMs = Math.max(LEAST_INTERVAL_MS, this.#intervalMs) * (0.9 + 0.2 * Math.random());
    this.#timer = setTimeout(() => void this.#beat(), waitMs);
  }

  async #beatOnce(): Promise<void> {
    const { identity, queues } = this.#setup;
    if (!this.#holdsSession) await this.#hold(this.#listener);
    const state = await this.#askForState();
    const answer = await beat(this.#listener, identity, { ...state, queues });
    this.#intervalMs = answer.intervalMs;
    if (answer.superseded) this.#tell({ kind: 'superseded' });
    if (answer.revoked.length > 0) {
      const revoked = new Set(answer.revoked);
      const attempts = state.running.filter(({ id }) => revoked.has(id));
      this.#tell({ kind: 'revoked', attempts });
    }
    if (answer.ready) this.#tellOfWork();
    if (answer.tickDue) await this.#tick();
  }

  async #askForState(): Promise<AgentState> {
    if (!this.#asked) {
      this.#asked = Promise.withResolvers();
      this.#tell({ kind: 'ask' });
    }
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(patience.resolve, PATIENCE_MS);
    await Promise.race([this.#asked.promise, patience.promise]);
    clearTimeout(timer);
    return this.#state;
  }

  async #tick(): Promise<void> {
    try {
      await tick(this.#listener);
    } catch (error) {
      this.#complain(error, 'the tick failed');
    }
  }

  #tellOfWork(): void {
    if (Atomics.exchange(this.#setup.workTold, 0, 1) === 0) this.#tell({ kind: 'work' });
  }

  /** That the connection is down is the listener's to say. */
  #complain(error: unknown, text: string): void {
    if (!this.#closed) this.#say(isUnavailable(error) ? 'debug' : 'warn', { err: error }, text);
  }

  #say(level: 'debug' | 'info' | 'warn', ...line: LogArguments): void {
    this.#tell({ kind: 'log', level, line });
  }
}
