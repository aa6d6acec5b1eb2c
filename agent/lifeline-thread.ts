// The lifeline as it runs in its thread: one connection that ties the session to this process, listens
// and beats.
//
//   connect ─▶ session lock ─▶ LISTEN ─▶ beat ─▶ tick, if nobody else did ─▶ wait ─▶ beat …
//
// NOTIFY only saves time. The beat is what makes a lost wake-up harmless: its answer says whether work
// waits, what is no longer ours or is to be cancelled, and whether this process still is the agent. It
// goes over the listening connection, so that an answered beat also proves that connection alive.
//
// Before each beat the main thread is asked what it runs: see lifeline-query.ts.
//
// Behind a pooler there is neither a session lock nor, as a rule, a NOTIFY: then beats alone say that the
// agent lives and that work waits.

import type { Client } from 'pg';
import { beat, connectsDirectly, holdSession, type Queryable } from '../db/agents.ts';
import { reach } from '../db/check.ts';
import { isUnavailable } from '../db/errors.ts';
import { Listener } from '../db/listen.ts';
import { tick } from '../db/recovery.ts';
import { isWorkFor } from '../db/work.ts';
import { CancelRelay } from './cancel-relay.ts';
import type {
  FromLifeline,
  LogArguments,
  MainThreadSays,
  PostgresLifelineSetup,
} from './lifeline-messages.ts';
import { LifelineQuery } from './lifeline-query.ts';
import { Pulse } from './pulse.ts';
import { ring } from './work-bell.ts';

// Less than the listener waits for an answer: a statement that is slow, not unanswered, must not cost the
// connection and with it the session's lock.
const SETUP = `set statement_timeout = '4s'`;

const POOLER_IN_BETWEEN =
  'a pooler is between the lifeline and Postgres: a killed agent is noticed by its silence only, and ' +
  'waiting work and cancels possibly at beats only; set DATABASE_DIRECT_URL to an address of Postgres itself';

export class LifelineThread {
  readonly #setup: PostgresLifelineSetup;
  readonly #tell: (message: FromLifeline) => void;
  readonly #listener: Listener;
  readonly #pulse = new Pulse(() => this.#beat());
  readonly #query: LifelineQuery;
  readonly #cancels: CancelRelay;
  #lock: 'held' | 'taken' | 'impossible' = 'taken';
  #warnedOfPooler = false;
  #closed = false;

  constructor(setup: PostgresLifelineSetup, tell: (message: FromLifeline) => void) {
    this.#setup = setup;
    this.#tell = tell;
    this.#query = new LifelineQuery(() => tell({ kind: 'ask' }));
    this.#cancels = new CancelRelay({
      tell: (ids) => tell({ kind: 'cancelled', ids }),
      onDropped: () => this.#pulse.now(),
    });
    this.#listener = new Listener(setup.url, {
      applicationName: `agent-executor lifeline ${setup.identity.agentId}`.slice(0, 63),
      prepare: (connection) => this.#prepare(connection),
      channels: ['executor_work', 'executor_cancel'],
      onNotification: (channel, payload) => this.#hear(channel, payload),
      onListening: () => this.#pulse.now(),
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
    this.#pulse.stop();
    await this.#listener.close();
  }

  /** What the main thread says. */
  heed(message: MainThreadSays): void {
    if (message.kind === 'heardOfCancels') return this.#cancels.heard();
    this.#query.answered(message.state);
    if (message.kind === 'beat') this.#pulse.now();
  }

  async #prepare(connection: Client): Promise<void> {
    if (await connectsDirectly(connection, this.#setup.identity)) {
      await connection.query(SETUP);
      return await this.#hold(connection);
    }
    // Nor is anything set there: that too would stay with a connection of the pooler's.
    this.#lock = 'impossible';
    if (!this.#warnedOfPooler) this.#say('warn', POOLER_IN_BETWEEN);
    this.#warnedOfPooler = true;
  }

  async #hold(connection: Queryable): Promise<void> {
    const isHeld = await holdSession(connection, this.#setup.identity);
    this.#lock = isHeld ? 'held' : 'taken';
    if (!isHeld)
      this.#say('warn', "another connection holds this session's lock; trying again at each beat");
  }

  #hear(channel: string, payload: string): void {
    const { identity, subscription } = this.#setup;
    if (channel === 'executor_work') {
      if (isWorkFor(payload, identity.agentId, subscription)) ring(this.#setup.workBell);
    } else if (payload === 'many') this.#pulse.now();
    else this.#cancels.pass(payload.split(' '));
  }

  async #beat(): Promise<void> {
    try {
      await this.#beatOnce();
    } catch (error) {
      this.#complain(error, 'no beat');
    }
  }

  async #beatOnce(): Promise<void> {
    const { identity, subscription } = this.#setup;
    if (this.#lock === 'taken') await this.#hold(this.#listener);
    const state = await this.#query.state();
    const answer = await beat(this.#listener, identity, { ...state, ...subscription });
    this.#pulse.intervalMs = answer.intervalMs;
    if (answer.superseded) this.#tell({ kind: 'superseded' });
    if (answer.revoked.length > 0) {
      const revoked = new Set(answer.revoked);
      const attempts = state.running.filter(({ id }) => revoked.has(id));
      this.#tell({ kind: 'revoked', attempts });
    }
    this.#cancels.pass(answer.cancelled);
    if (answer.ready) ring(this.#setup.workBell);
    if (answer.tickDue) await this.#tick();
  }

  async #tick(): Promise<void> {
    try {
      await tick(this.#listener);
    } catch (error) {
      this.#complain(error, 'the tick failed');
    }
  }

  /** That the connection is down is the listener's to say. */
  #complain(error: unknown, text: string): void {
    if (!this.#closed) this.#say(isUnavailable(error) ? 'debug' : 'warn', { err: error }, text);
  }

  #say(level: 'debug' | 'info' | 'warn', ...line: LogArguments): void {
    this.#tell({ kind: 'log', level, line });
  }
}
