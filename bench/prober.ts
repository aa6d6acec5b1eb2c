// Single jobs through a subject, with the times of each: submitted, when the submitter called; answered, when
// it returned; started, when the job's code began, by the clock of its process; done, when a listener in the
// database heard of the commit that finished it. That comes from a trigger, which all subjects have alike, for
// these jobs only.

import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Peer, Submitter, WorkerProcess } from './peers/peer.ts';

export interface Probed {
  peer: Peer;
  open(url: string): Promise<Submitter>;
  /** Which change of a row means that a probe is done. */
  finished: { table: string; event: 'update' | 'delete'; when: string; id: string };
  /** SQL that says when probes began, where it is not the worker that can tell: `id`, `began`. */
  began?: string;
}

/** In ms, a number for each probe. */
export interface Delays {
  toStart: number[];
  toResult: number[];
  /** From the submitter's answer, which is there when the job is committed. */
  fromAnswerToStart: number[];
}

/** Between two probes, at random. */
const PAUSE_MS = { least: 10, most: 50 };

/** The first ones open connections and compile code. */
const WARM_UP = 30;

const PATIENCE_MS = 60_000;

export class Prober implements AsyncDisposable {
  readonly submitter: Submitter;
  readonly #probed: Probed;
  readonly #worker: WorkerProcess | undefined;
  readonly #listener: Client;
  readonly #doneAt = new Map<string, number>();

  private constructor(
    probed: Probed,
    submitter: Submitter,
    listener: Client,
    worker: WorkerProcess | undefined,
  ) {
    this.#probed = probed;
    this.submitter = submitter;
    this.#listener = listener;
    this.#worker = worker;
    listener.on('notification', ({ payload = '' }) => this.#doneAt.set(payload, now()));
  }

  /** @param concurrency of the worker that is started; 0: there are some. */
  static async open(probed: Probed, url: string, concurrency: number): Promise<Prober> {
    const listener = new Client(url);
    await listener.connect();
    await listener.query(triggerFor(probed));
    await listener.query('listen bench_done');
    const worker = concurrency > 0 ? await probed.peer.start(url, concurrency) : undefined;
    const prober = new Prober(probed, await probed.open(url), listener, worker);
    await prober.probe(WARM_UP);
    return prober;
  }

  /** Submits so many, one after the other with pauses, and waits until all are done. */
  async probe(count: number): Promise<Delays> {
    const submittedAt = new Map<string, number>();
    const answeredAt = new Map<string, number>();
    for (let i = 0; i < count; i += 1) {
      await sleep(PAUSE_MS.least + Math.random() * (PAUSE_MS.most - PAUSE_MS.least));
      const at = now();
      const id = await this.submitter.one(true);
      submittedAt.set(id, at);
      answeredAt.set(id, now());
    }
    const ids = [...submittedAt.keys()];
    await until(() => Promise.resolve(ids.every((id) => this.#doneAt.has(id))));
    const beganAt = await this.#beganAt();
    const delays = (from: Map<string, number>, to: Map<string, number>) =>
      ids.map((id) => (to.get(id) ?? NaN) - (from.get(id) ?? NaN));
    return {
      toStart: delays(submittedAt, beganAt),
      toResult: delays(submittedAt, this.#doneAt),
      fromAnswerToStart: delays(answeredAt, beganAt),
    };
  }

  /** Resolves when no job is left. */
  async untilDrained(): Promise<void> {
    const { isDrained } = this.#probed.peer;
    await until(async () => {
      const { rows } = await this.#listener.query<{ drained: boolean }>(isDrained);
      return rows[0]?.drained ?? false;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.submitter.close();
    await this.#worker?.stop();
    await this.#listener.end();
  }

  async #beganAt(): Promise<Map<string, number>> {
    const { began } = this.#probed;
    if (began === undefined) return new Map((await this.#worker?.told())?.probes);
    const { rows } = await this.#listener.query<{ id: string; began: number }>(began);
    return new Map(rows.map((row) => [row.id, row.began]));
  }
}

function triggerFor({ finished: { table, event, when, id } }: Probed): string {
  return `
    create function bench_done() returns trigger language plpgsql as $$
    begin
      perform pg_notify('bench_done', ${id}::text);
      return null;
    end $$;
    create trigger bench_done after ${event} on ${table}
    for each row when (${when}) execute function bench_done();`;
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

async function until(look: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await look())) {
    if (performance.now() > deadline) throw new Error('not all jobs were done in time');
    await sleep(20);
  }
}
