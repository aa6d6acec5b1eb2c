// Who is measured against whom: how each is filled with jobs that do nothing, how its worker is started,
// and how one sees that all is done.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { PgBoss } from 'pg-boss';
import { makeWorkerUtils } from 'graphile-worker';
import { v7 } from 'uuid';
import { commandTypes, createRegistry } from '../agent/executors/registry.ts';
import { defineExecutor } from '../agent/executors/executor.ts';
import { publishTypes } from '../db/command-types.ts';
import { migrate } from '../db/migrate.ts';
import { z } from 'zod';
import makeNoop from './executors/noop.ts';
import { OURS } from './measurement.ts';

const A_BATCH = 1_000;

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
}

export interface WorkerProcess {
  /** When the first of its jobs began and the last ended, in ms since 1970; undefined: it had none. */
  span(): Promise<Span>;
  stop(): Promise<void>;
}

export interface Span {
  firstAtMs?: number;
  lastAtMs?: number;
}

const noop = makeNoop({ defineExecutor, z });

export const ours: Peer = {
  subject: OURS,
  install: async (url) => {
    await migrate(url, { types: commandTypes() });
    await withClient(url, (client) => publishTypes(client, commandTypes(createRegistry([noop]))));
  },
  fill: (url, jobs) =>
    withClient(url, async (client) => {
      for (let sent = 0; sent < jobs; sent += A_BATCH) {
        const batch = Array.from({ length: Math.min(A_BATCH, jobs - sent) }, () => ({
          id: v7(),
          type: 'NOOP',
          payload: {},
        }));
        await client.query('select executor.submit($1)', [JSON.stringify(batch)]);
      }
    }),
  isDrained: 'select not exists (select from executor_queue.job_common) as drained',
  span: spanSql('min(started_at)', 'max(finished_at)', 'executor.commands'),
  start: async (url, concurrency) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'agent-executor-bench-data-'));
    const worker = startWorker('../agent/main.ts', {
      DATABASE_URL: url,
      DATA_DIR: dataDir,
      CONCURRENCY: String(concurrency),
      EXECUTORS_DIR: join(import.meta.dirname, 'executors'),
      LOG_LEVEL: 'error',
    });
    return {
      ...worker,
      stop: async () => {
        await worker.stop();
        await rm(dataDir, { recursive: true, force: true });
      },
    };
  },
};

export const pgBoss: Peer = {
  subject: 'pg-boss work()',
  install: (url) => withBoss(url, (boss) => boss.createQueue('noop')),
  fill: (url, jobs) =>
    withBoss(url, async (boss) => {
      for (let sent = 0; sent < jobs; sent += A_BATCH) {
        const length = Math.min(A_BATCH, jobs - sent);
        await boss.insert(
          'noop',
          Array.from({ length }, () => ({ data: {} })),
        );
      }
    }),
  isDrained: `select not exists (
    select from pgboss.job where name = 'noop' and state < 'completed') as drained`,
  span: spanSql('min(started_on)', 'max(completed_on)', 'pgboss.job'),
  start: (url, concurrency) => Promise.resolve(startPeer('pg-boss', url, concurrency)),
};

const graphile = (mode: '' | 'batching'): Peer => ({
  subject: mode === 'batching' ? 'graphile-worker, local queue 500' : 'graphile-worker, plain',
  install: async (url) => {
    const utils = await makeWorkerUtils({ connectionString: url });
    await utils.migrate();
    await utils.release();
  },
  fill: async (url, jobs) => {
    const utils = await makeWorkerUtils({ connectionString: url });
    for (let sent = 0; sent < jobs; sent += A_BATCH) {
      const length = Math.min(A_BATCH, jobs - sent);
      await utils.addJobs(Array.from({ length }, () => ({ identifier: 'noop', payload: {} })));
    }
    await utils.release();
  },
  isDrained: 'select not exists (select from graphile_worker._private_jobs) as drained',
  start: (url, concurrency) =>
    Promise.resolve(startPeer('graphile-worker', url, concurrency, mode)),
});
export const graphileBatching = graphile('batching');
export const graphilePlain = graphile('');

export const bare: Peer = {
  subject: 'bare SQL in a loop',
  install: (url) => withClient(url, (client) => client.query(BARE)),
  fill: (url, jobs) =>
    withClient(url, async (client) => {
      await client.query(
        `with added as (
           insert into bare_commands (id, type, queue, status, payload, timeout, created_at, updated_at)
           select gen_random_uuid(), 'NOOP', 'default', 'PENDING', '{}', '1 min', now(), now()
           from generate_series(1, $1)
           returning id
         )
         insert into bare_tickets (id, name, priority, state, created_on)
         select id, 'default', 0, 'created', clock_timestamp() from added`,
        [jobs],
      );
    }),
  isDrained: 'select not exists (select from bare_tickets) as drained',
  start: (url, concurrency) => Promise.resolve(startPeer('bare', url, concurrency)),
};

// The same two tables, with the columns and indexes that the row changes are about.
const BARE = `
  create table bare_commands (
    id uuid primary key, type text, queue text, status text, payload jsonb, result jsonb,
    attempt integer not null default 0, agent_id text, timeout interval, created_at timestamptz,
    updated_at timestamptz, started_at timestamptz, finished_at timestamptz
  ) with (fillfactor = 80);
  create index on bare_commands (created_at desc, id desc);
  create index on bare_commands (agent_id) where status = 'RUNNING';
  create index on bare_commands (status, created_at desc, id desc) where status <> 'RUNNING';
  create index on bare_commands (type, created_at desc, id desc) where status <> 'RUNNING';
  create index on bare_commands (agent_id, created_at desc, id desc) where finished_at is not null;
  create table bare_tickets (
    id uuid, name text, priority integer, state text, created_on timestamptz, started_on timestamptz,
    primary key (name, id)
  );
  create index on bare_tickets (priority desc, created_on) where state = 'created';
  create index on bare_tickets (id)`;

function startPeer(name: string, url: string, concurrency: number, mode = ''): WorkerProcess {
  return startWorker(`workers/${name}.ts`, {
    DATABASE_URL: url,
    CONCURRENCY: String(concurrency),
    MODE: mode,
  });
}

function startWorker(file: string, env: NodeJS.ProcessEnv): WorkerProcess {
  const child = fork(join(import.meta.dirname, file), [], {
    env: { PATH: process.env['PATH'], ...env },
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  return {
    span: async () => {
      const told = once(child, 'message');
      child.send('span');
      return ((await told) as [Span])[0];
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

function spanSql(first: string, last: string, table: string): string {
  return `
    select
      extract(epoch from ${first})::float8 * 1000 as "firstAtMs",
      extract(epoch from ${last})::float8 * 1000 as "lastAtMs"
    from ${table}`;
}

async function withClient<T>(url: string, act: (client: Client) => Promise<T>): Promise<void> {
  const client = new Client(url);
  await client.connect();
  try {
    await act(client);
  } finally {
    await client.end();
  }
}

async function withBoss<T>(url: string, act: (boss: PgBoss) => Promise<T>): Promise<void> {
  const boss = new PgBoss({ connectionString: url, supervise: false, schedule: false });
  await boss.start();
  try {
    await act(boss);
  } finally {
    await boss.stop({ graceful: false });
  }
}
