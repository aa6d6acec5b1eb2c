// What the demo does to its system: each fault is real, and taken down in the database first.

import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import type { DemoSystem } from './launch.ts';

export type Say = (line: string) => void;

interface Victim {
  id: string;
  pid: number;
  session: string;
  running: number;
}

const LOOK_AGAIN_MS = 100;
const MOST_LOOKS = 60;

export class Faults {
  readonly #pool: pg.Pool;
  readonly #system: DemoSystem;
  readonly #say: Say;
  readonly #frozen = new Set<number>();
  /** Everybody suffers once. */
  readonly #struck: string[] = [];

  constructor(pool: pg.Pool, system: DemoSystem, say: Say) {
    this.#pool = pool;
    this.#system = system;
    this.#say = say;
  }

  /** SIGKILL to the agent that runs most of those that were spared so far. */
  async kill(): Promise<void> {
    const victim = await this.#busiest();
    if (!victim) return;
    await this.#takeDown('kill', victim);
    this.#say(`SIGKILL  agent ${victim.id}, in the middle of ${victim.running} commands`);
    send(victim.pid, 'SIGKILL');
  }

  /** SIGSTOP to the agent that runs most, SIGCONT after a while: a zombie wakes up. */
  async freeze(forMs: number, signal: AbortSignal): Promise<void> {
    const victim = await this.#busiest();
    if (!victim) return;
    await this.#takeDown('freeze', victim);
    this.#say(`SIGSTOP  agent ${victim.id}, in the middle of ${victim.running} commands`);
    send(victim.pid, 'SIGSTOP');
    this.#frozen.add(victim.pid);
    await pause(forMs, undefined, { signal }).catch(() => {});
    this.#say(`SIGCONT  agent ${victim.id}: it wakes up and reports what it thinks is its own`);
    this.thaw();
  }

  /** Postgres ends as if it crashed; `npm start` starts it again. Resolves when it answers. */
  async bounceDatabase(signal: AbortSignal): Promise<void> {
    await this.#pool.query(`insert into demo_faults (what) values ('database')`);
    this.#say('SIGQUIT  PostgreSQL: an immediate shutdown, as in a crash');
    send(this.#system.postmasterPid(), 'SIGQUIT');
    const since = performance.now();
    for (let isBack = false; !isBack;) {
      await pause(LOOK_AGAIN_MS, undefined, { signal });
      isBack = await this.#pool.query('select').then(
        () => true,
        () => false,
      );
    }
    const seconds = ((performance.now() - since) / 1_000).toFixed(1);
    this.#say(`         PostgreSQL is back, after ${seconds} s`);
  }

  /** Nobody stays frozen. */
  thaw(): void {
    for (const pid of this.#frozen) send(pid, 'SIGCONT');
    this.#frozen.clear();
  }

  /** Waits a little for one: after an outage agents come back one by one. */
  async #busiest(): Promise<Victim | undefined> {
    for (let looks = 0; looks < MOST_LOOKS; looks += 1) {
      const { rows } = await this.#pool.query<Victim>(
        `select id, pid, session, running
         from executor.agent_states
         where state = 'busy' and id <> all ($1)
         order by running desc, beat_at
         limit 1`,
        [this.#struck],
      );
      if (rows[0]) return rows[0];
      await pause(LOOK_AGAIN_MS);
    }
    return undefined;
  }

  async #takeDown(what: string, { id, session }: Victim): Promise<void> {
    this.#struck.push(id);
    await this.#pool.query(
      'insert into demo_faults (what, agent_id, session) values ($1, $2, $3)',
      [what, id, session],
    );
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself.
  }
}
