// The system under fire: a server and some agents, a third of them over HTTP, each started again whenever
// it ends, as `npm start` or a service manager would.

import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { startProgram, type Program } from '../support/program.ts';
import type { Fault } from './plan.ts';

const CONCURRENCY = 16;

/** One that cannot start, say as its journal is still in use, tries again after this. */
const LEAST_AWAY_MS = 100;

/** One process and its successors. */
class Post {
  program: Program;
  /** How long the next successor lets wait for it. */
  awayMs = 0;
  readonly #start: () => Program;
  readonly #stopping: AbortSignal;
  readonly #done: Promise<void>;

  constructor(start: () => Program, stopping: AbortSignal) {
    this.#start = start;
    this.#stopping = stopping;
    this.program = start();
    this.#done = this.#keepRunning();
  }

  /** Rejects when it is away, or ends before it works. */
  async ready(): Promise<string> {
    if (!this.program.isRunning()) throw new Error('it is away');
    return await this.program.ready;
  }

  /** A second process in this one's place, while the first still runs: it must give way by itself. */
  async replace(program: Program, signal: AbortSignal): Promise<void> {
    const first = this.program;
    this.program = program;
    // It does not if the second is killed before it has registered.
    await Promise.race([first.exited, once(signal, 'abort')]);
    await first[Symbol.asyncDispose]();
  }

  async end(): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    await this.#done;
  }

  async #keepRunning(): Promise<void> {
    while (!this.#stopping.aborted) {
      const current = this.program;
      await current.exited;
      if (current !== this.program) continue;
      const awayMs = Math.max(this.awayMs, LEAST_AWAY_MS);
      await pause(awayMs, undefined, { signal: this.#stopping }).catch(() => {});
      this.awayMs = 0;
      if (!this.#stopping.aborted) this.program = this.#start();
    }
  }
}

export interface FleetOptions {
  databaseUrl: string;
  /** Leads to the server, whichever its port. */
  serverUrl: string;
  pool: pg.Pool;
  dataDir: string;
  agents: number;
}

export class Fleet implements AsyncDisposable {
  readonly #stopping = new AbortController();
  readonly #healing = new AbortController();
  readonly #pool: pg.Pool;
  readonly #server: Post;
  readonly #agents: Post[];
  readonly #startAgent: (index: number, dataDir?: string) => Program;
  readonly #faults = new Set<Promise<void>>();
  readonly #dataDir: string;
  #twins = 0;

  constructor(options: FleetOptions) {
    const { databaseUrl, serverUrl, dataDir } = options;
    const common = { DATABASE_URL: databaseUrl, CONCURRENCY: String(CONCURRENCY) };
    const overHttp = { ...common, SERVER_URL: serverUrl, POLL_INTERVAL: '200' };
    this.#pool = options.pool;
    this.#startAgent = (index, dir = dataDir) =>
      startProgram('agent', {
        ...(index % 3 === 0 ? overHttp : common),
        DATA_DIR: dir,
        AGENT_ID: `chaos-${index}`,
      });
    this.#server = new Post(() => startProgram('server', common), this.#stopping.signal);
    this.#agents = Array.from(
      { length: options.agents },
      (_, index) => new Post(() => this.#startAgent(index), this.#stopping.signal),
    );
    this.#dataDir = dataDir;
  }

  /** Resolves when all of them work: agents over HTTP do not start before the server does. */
  async ready(): Promise<void> {
    for (let tries = 0; tries < 100; tries += 1) {
      try {
        return void (await Promise.all(
          [this.#server, ...this.#agents].map((post) => post.ready()),
        ));
      } catch {
        await pause(100);
      }
    }
    throw new Error('the system does not work');
  }

  /** The server's address; rejects while it is away. */
  async url(): Promise<string> {
    return await this.#server.ready();
  }

  /** Lets a fault happen; it may go on for a while. */
  strike(fault: Fault): void {
    const happening = this.#carryOut(fault);
    // Whoever waits for it hears of its failure.
    happening.catch(() => {});
    this.#faults.add(happening);
  }

  /** Ends all faults; resolves when everything that should run does. */
  async heal(): Promise<void> {
    this.#healing.abort();
    await Promise.all(this.#faults);
    for (const post of this.#agents) post.awayMs = 0;
    await this.ready();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#healing.abort();
    await Promise.all([this.#server, ...this.#agents].map((post) => post.end()));
    await Promise.all(this.#faults);
  }

  async #carryOut({ kind, agent, forMs }: Fault): Promise<void> {
    const post = this.#agents[agent];
    if (!post) return;
    if (kind === 'kill') return kill(post, forMs);
    if (kind === 'killServer') return kill(this.#server, forMs);
    if (kind === 'freeze') return await freeze(post.program, forMs);
    if (kind === 'twin')
      return await post.replace(
        this.#startAgent(agent, join(this.#dataDir, `twin-${(this.#twins += 1)}`)),
        this.#healing.signal,
      );
    await this.#terminate(kind === 'isolate' ? `% chaos-${agent}` : 'agent-executor %', kind);
  }

  async #terminate(applicationName: string, kind: 'isolate' | 'terminate'): Promise<void> {
    await this.#pool.query(
      `select pg_terminate_backend(pid)
       from (
         select pid
         from pg_stat_activity
         where datname = current_database() and application_name like $1
         order by random()
         limit $2
       ) as victims`,
      [applicationName, kind === 'isolate' ? 10 : 1],
    );
  }
}

function kill(post: Post, awayMs: number): void {
  post.awayMs = awayMs;
  post.program.signal('SIGKILL');
}

async function freeze(program: Program, forMs: number): Promise<void> {
  program.signal('SIGSTOP');
  await pause(forMs);
  program.signal('SIGCONT');
}
