// What is measured, ours and others: how its schema is installed, how it is filled with jobs that do nothing,
// how its worker is started, and how one sees that all is done.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Client } from 'pg';

export interface Peer {
  subject: string;
  /** Installs its schema. */
  install(url: string): Promise<void>;
  /** Submits so many jobs, in the largest batches that it knows. */
  fill(url: string, jobs: number): Promise<void>;
  /** Whether nothing is left, as SQL that costs nothing to ask. */
  isDrained: string;
  start(url: string, concurrency: number): Promise<WorkerProcess>;
  /** SQL for the span, where the database knows it better than the workers do. */
  span?: string;
  /** A guess at its jobs a second with one worker, so that the first run takes about as long as wanted. */
  pace(concurrency: number): number;
}

/** Whoever puts jobs in, one by one or many at a time, as an application would. */
export interface Submitter {
  /** Answers the job's id. One that is a probe says when it began. */
  one(isProbe?: boolean): Promise<string>;
  many(size: number): Promise<unknown>;
  close(): Promise<unknown>;
}

/** How many callers a submitter serves at once. */
export const CALLERS = 10;

/** The largest batch that jobs are submitted in. */
export const A_BATCH = 1_000;

export interface WorkerProcess {
  pid: number;
  /** Throws when it has ended by itself: its jobs will never be done. */
  check(): void;
  /** What it can tell of the jobs that it had. */
  told(): Promise<Told>;
  stop(): Promise<void>;
}

export interface Told {
  /** When the first of its jobs began and the last ended, in ms since 1970; undefined: it had none. */
  firstAtMs?: number;
  lastAtMs?: number;
  /** When each probe began. */
  probes: [id: string, beganAtMs: number][];
}

/** Forks a file of this directory's parent as a process that ends with this one. */
export function startWorker(file: string, env: NodeJS.ProcessEnv): WorkerProcess {
  const child = fork(join(import.meta.dirname, '..', file), [], {
    env: { PATH: process.env['PATH'], ...env },
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  return {
    pid: child.pid ?? 0,
    check: () => {
      if (child.exitCode !== null) throw new Error(`${file} ended with ${child.exitCode}`);
    },
    told: async () => {
      const told = once(child, 'message');
      child.send('tell');
      return ((await told) as [Told])[0];
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

export function spanSql(first: string, last: string, table: string): string {
  return `
    select
      extract(epoch from ${first})::float8 * 1000 as "firstAtMs",
      extract(epoch from ${last})::float8 * 1000 as "lastAtMs"
    from ${table}`;
}

/** Calls it with what is left of `jobs`, a batch at a time. */
export async function inBatches(
  jobs: number,
  submit: (size: number) => Promise<unknown>,
): Promise<void> {
  for (let sent = 0; sent < jobs; sent += A_BATCH) await submit(Math.min(A_BATCH, jobs - sent));
}

export async function withClient<T>(url: string, act: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(url);
  await client.connect();
  try {
    return await act(client);
  } finally {
    await client.end();
  }
}
