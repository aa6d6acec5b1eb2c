// The agent's lifeline: one connection that listens for work and beats every few seconds.
//
// NOTIFY only saves time. The beat is what makes a lost wake-up harmless: its answer says whether
// work waits, and whether this process still is the agent. It goes over the listening connection, so
// that an answered beat also proves that connection alive.

import { beat, type Beat, type BeatAnswer, type Identity } from '../db/agents.ts';
import { Listener } from '../db/listen.ts';
import { DEFAULT_QUEUE } from '../db/queue.ts';
import type { Logger } from '../runtime/log.ts';

const BEAT_MS = 5_000;
const QUEUES = [DEFAULT_QUEUE];

export interface LifelineOptions {
  identity: Identity;
  log: Logger;
  /** What the agent runs right now. */
  state: () => Omit<Beat, 'queues'>;
  onWork: () => void;
  onBeat: (answer: BeatAnswer) => void;
}

export class Lifeline {
  readonly #options: LifelineOptions;
  readonly #listener: Listener;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(url: string, options: LifelineOptions) {
    this.#options = options;
    this.#listener = new Listener(url, {
      applicationName: `agent-executor lifeline ${options.identity.agentId}`.slice(0, 63),
      channels: ['executor_work'],
      onNotification: (_channel, queue) => {
        if (QUEUES.includes(queue)) options.onWork();
      },
      onListening: () => void this.#beat(),
      log: options.log,
    });
  }

  /** Rejects when the database cannot be reached; from then on the lifeline heals by itself. */
  async open(): Promise<void> {
    await this.#listener.open();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#listener.close();
  }

  async #beat(): Promise<void> {
    clearTimeout(this.#timer);
    const { identity, state, onBeat, log } = this.#options;
    try {
      const answer = await beat(this.#listener, identity, { ...state(), queues: QUEUES });
      if (!this.#closed) onBeat(answer);
    } catch (error) {
      log.debug({ err: error }, 'no beat');
    }
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#beat(), BEAT_MS * (0.9 + 0.2 * Math.random()));
  }
}
