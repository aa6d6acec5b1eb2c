// The lifeline as it runs in its thread where the ledger is reached over HTTP: it beats.
//
//   beat ─▶ the server holds it ─▶ something is cancelled, or the next beat is due ─▶ beat …
//
// That it is held is how cancels arrive at once, also of what was claimed after it was sent. One that says
// what the ledger should know at once is sent before its time: the held one is given up for it.
//
// While the agent runs nothing and a claim of it waits at a server, that claim is its sign of life: servers say
// every 5 s, in one statement for all who wait, that these live. Then it beats once a minute, and again as
// soon as it has been busy for a moment.
//
// Any server will do for any beat. One that does not know the agent, as its row is gone, is told of it
// again; the next beat then says what became of what runs.

import { z } from 'zod';
import { jitteredBackoffMs } from '../db/backoff.ts';
import { CancelRelay } from './cancel-relay.ts';
import type {
  AgentState,
  FromLifeline,
  HttpLifelineSetup,
  LogArguments,
  MainThreadSays,
} from './lifeline-messages.ts';
import { LifelineQuery } from './lifeline-query.ts';
import { Pulse } from './pulse.ts';
import { HttpClient, ServerError } from './transports/http-client.ts';
import { ring } from './work-bell.ts';

/** Longer would cost two beats, and with them the agent, when the server's host is gone without a word. */
const PATIENCE_MS = 4_000;

const LONGEST_WAIT_S = 30;

/** From one beat to the next, when its answer comes at once. */
const LEAST_HELD_MS = 50;

/** How often a server says of those whose claims wait that they live: no stand-in for beats in a shorter rhythm. */
const KEPT_ALIVE_EVERY_MS = 5_000;

/** For how long claims that wait may stand for beats. */
const REST_MS = 60_000;

/** What takes no longer is over before it could be cancelled. */
const BUSY_MS = 100;

const BeatAnswer = z.object({
  revoked: z.array(z.string()),
  cancelled: z.array(z.string()),
  ready: z.boolean(),
  drain: z.boolean(),
  intervalMs: z.number(),
});

export class HttpLifelineThread {
  readonly #setup: HttpLifelineSetup;
  readonly #tell: (message: FromLifeline) => void;
  readonly #client: HttpClient;
  readonly #pulse = new Pulse(() => this.#beat());
  readonly #query: LifelineQuery;
  readonly #cancels: CancelRelay;
  #held: AbortController | undefined;
  #failures = 0;
  #intervalMs = 0;
  /** Until then a claim that waits may stand for its beats. */
  #mayRestUntilMs = -Infinity;
  #drains = false;
  #closed = false;

  constructor(setup: HttpLifelineSetup, tell: (message: FromLifeline) => void) {
    this.#setup = setup;
    this.#tell = tell;
    this.#client = new HttpClient(setup.serverUrl);
    this.#query = new LifelineQuery(() => tell({ kind: 'ask' }));
    this.#cancels = new CancelRelay({
      tell: (ids) => tell({ kind: 'cancelled', ids }),
      onDropped: () => this.#renew(),
    });
  }

  /** The agent has just registered: nothing is left to be found out. */
  open(): Promise<void> {
    this.#tell({ kind: 'open' });
    this.#pulse.now();
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#pulse.stop();
    this.#client.close();
    return Promise.resolve();
  }

  /** What the main thread says. */
  heed(message: MainThreadSays): void {
    if (message.kind === 'heardOfCancels') return this.#cancels.heard();
    const wasAwaited = this.#query.answered(message.state);
    if (message.kind === 'busy') return this.#noteBusy();
    // A beat that could not wait for this answer must not be held for what was said before.
    if (message.kind === 'beat' || !wasAwaited) this.#renew();
  }

  #renew(): void {
    this.#mayRestUntilMs = -Infinity;
    this.#held?.abort();
    this.#pulse.now();
  }

  /** A beat that is on its way, or a try that is due, will do. */
  #noteBusy(): void {
    if (this.#mayRestUntilMs > performance.now()) this.#pulse.within(BUSY_MS);
  }

  async #beat(): Promise<void> {
    const state = await this.#query.state();
    const restMs = this.#mayRestUntilMs - performance.now();
    if (state.waits && restMs > 0) {
      this.#pulse.intervalMs = restMs;
      return;
    }
    this.#mayRestUntilMs = -Infinity;
    try {
      this.#pulse.intervalMs = await this.#beatOnce(state);
      if (this.#failures > 0) this.#say('info', 'the server answers again');
      this.#failures = 0;
    } catch (error) {
      if (!this.#closed) this.#pulse.intervalMs = this.#failed(error);
    } finally {
      this.#held = undefined;
    }
  }

  /** Answers in how many ms to beat again. */
  async #beatOnce(state: AgentState): Promise<number> {
    const held = (this.#held = new AbortController());
    const beganAtMs = performance.now();
    try {
      await this.#exchange(state, held.signal);
      // It is known now that the agent runs nothing; and no claim of before is to be settled.
      if (state.waits && this.#intervalMs >= KEPT_ALIVE_EVERY_MS)
        this.#mayRestUntilMs = beganAtMs + REST_MS;
    } catch (error) {
      if (held.signal.aborted) return 0;
      if (says(error, 'unknown_agent')) return await this.#introduce();
      throw error;
    }
    return LEAST_HELD_MS - (performance.now() - beganAtMs);
  }

  async #exchange(state: AgentState, signal: AbortSignal): Promise<void> {
    // The server lets go of it when the next one is due.
    const waitS = Math.min(LONGEST_WAIT_S, Math.ceil(this.#intervalMs / 1_000));
    const { agentId, session } = this.#setup.registration;
    const { running, settledClaimNo, draining } = state;
    const answer = await this.#client.post(
      `agents/${agentId}/beat`,
      { session, running, settledClaimNo, draining, wait: waitS },
      { timeoutMs: waitS * 1_000 + PATIENCE_MS, signal },
    );
    this.#heedAnswer(BeatAnswer.parse(answer), running);
  }

  #heedAnswer(answer: z.infer<typeof BeatAnswer>, running: AgentState['running']): void {
    this.#intervalMs = answer.intervalMs;
    if (answer.revoked.length > 0) {
      const revoked = new Set(answer.revoked);
      this.#tell({ kind: 'revoked', attempts: running.filter(({ id }) => revoked.has(id)) });
    }
    this.#cancels.pass(answer.cancelled);
    if (answer.drain !== this.#drains)
      this.#say('info', answer.drain ? 'to be drained: claims find nothing' : 'no longer drained');
    this.#drains = answer.drain;
    if (answer.ready) ring(this.#setup.workBell);
  }

  /** Answers in how many ms to beat again. */
  async #introduce(): Promise<number> {
    // Who has signed off is unknown too, and to register would bring it back.
    if (this.#query.latest.draining) return Math.max(this.#intervalMs, LEAST_HELD_MS);
    await this.#client.post('agents', this.#setup.registration, { timeoutMs: PATIENCE_MS });
    this.#say('warn', 'the server did not know this agent: registered again');
    return 0;
  }

  /** Answers in how many ms to beat again. */
  #failed(error: unknown): number {
    if (says(error, 'superseded')) {
      this.#pulse.stop();
      this.#tell({ kind: 'superseded' });
      return 0;
    }
    this.#failures += 1;
    this.#say(this.#failures === 1 ? 'warn' : 'debug', { err: error }, 'no beat; trying again');
    return jitteredBackoffMs(this.#failures);
  }

  #say(level: 'debug' | 'info' | 'warn', ...line: LogArguments): void {
    this.#tell({ kind: 'log', level, line });
  }
}

function says(error: unknown, code: string): boolean {
  return error instanceof ServerError && error.code === code;
}
