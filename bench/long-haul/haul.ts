// The flow of commands: in over REST while few wait, and out again by a purge.

import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

const A_BATCH = 1_000;
const BATCH = JSON.stringify({
  commands: Array.from({ length: A_BATCH }, () => ({ type: 'NOOP', payload: {} })),
});

/** So many wait or run at most: enough that the agent never goes without. */
const MOST_WAITING = 5_000;
const PAUSE_MS = 20;

/** At a time; the purge has a pause after each. */
const MOST_PURGED = 5_000;
const PURGE_PAUSE_MS = 200;

export class Haul implements AsyncDisposable {
  /** How many are done, and whether all are. */
  done = 0;
  isOver = false;
  readonly #client: Client;
  readonly #server: string;
  readonly #commands: number;
  readonly #kept: number;
  #running: Promise<unknown> = Promise.resolve();

  private constructor(client: Client, server: string, commands: number, kept: number) {
    this.#client = client;
    this.#server = server;
    this.#commands = commands;
    this.#kept = kept;
  }

  /** @param kept how many finished commands the ledger holds; those that were submitted first go first. */
  static async start(url: string, server: string, commands: number, kept: number): Promise<Haul> {
    const client = new Client(url);
    await client.connect();
    const haul = new Haul(client, server, commands, kept);
    haul.#running = Promise.all([haul.#submit(), haul.#purge(url)]).finally(() => {
      haul.isOver = true;
    });
    // It is disposed of by whoever waits for isOver, who hears of it then.
    haul.#running.catch(() => {});
    return haul;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running;
    await this.#client.end();
  }

  async #submit(): Promise<void> {
    for (let sent = 0; this.done < this.#commands;) {
      const { rows } = await this.#client.query<{ live: number }>(
        'select coalesce(sum(depth), 0)::integer as live from executor.lane_states',
      );
      const live = rows[0]?.live ?? 0;
      this.done = sent - live;
      if (sent >= this.#commands || live > MOST_WAITING) {
        await sleep(PAUSE_MS);
        continue;
      }
      const headers = { 'Content-Type': 'application/json' };
      const init = { method: 'POST', headers, body: BATCH };
      const response = await fetch(`${this.#server}/commands/batch`, init);
      await response.text();
      if (response.status !== 201) throw new Error(`not submitted: ${response.status}`);
      sent += A_BATCH;
    }
  }

  async #purge(url: string): Promise<void> {
    const client = new Client(url);
    await client.connect();
    let purged = 0;
    let upTo = '00000000-0000-0000-0000-000000000000';
    while (this.done < this.#commands) {
      await sleep(PURGE_PAUSE_MS);
      const limit = Math.min(MOST_PURGED, this.done - purged - this.#kept);
      if (limit <= 0) continue;
      const { rows } = await client.query<{ n: number; last: string | null }>(PURGE, [upTo, limit]);
      purged += rows[0]?.n ?? 0;
      // From there on: dead rows of before are not walked through again.
      upTo = rows[0]?.last ?? upTo;
    }
    await client.end();
  }
}

// By id, which is by time: there is no index of all commands by their creation alone.
const PURGE = `
  with purged as (
    delete from executor.commands
    where id = any (array(
      select id from executor.commands
      where id > $1 and finished_at is not null
      order by id
      limit $2
    ))
    returning id
  )
  select count(*)::integer as n, (array_agg(id order by id desc))[1] as last from purged`;
