// The limits: the same row changes in our own tables; and in two plain tables, which have the columns and indexes
// that these changes are about and no rules, filled in the same order. No framework in either.

import { ours } from './ours.ts';
import { startWorker, withClient, type Peer } from './peer.ts';

const start = (mode: string) => (url: string, concurrency: number) =>
  Promise.resolve(
    startWorker('workers/bare.ts', {
      DATABASE_URL: url,
      CONCURRENCY: String(concurrency),
      MODE: mode,
    }),
  );

export const bare: Peer = {
  ...ours,
  subject: 'bare SQL in a loop',
  start: start('ours'),
  pace: () => 28_000,
};

export const plainTables: Peer = {
  subject: 'two plain tables in a loop',
  install: async (url) => {
    await withClient(url, (client) => client.query(TABLES));
  },
  fill: async (url, jobs) => {
    await withClient(url, (client) => client.query(FILL, [jobs]));
  },
  // What runs has no ticket any more.
  isDrained: `
    select not exists (select from bare_tickets)
      and not exists (select from bare_commands where status = 'RUNNING') as drained`,
  start: start('plain'),
  pace: () => 40_000,
};

const TABLES = `
  create table bare_commands (
    id uuid primary key, type text, queue text, status text, payload jsonb, result jsonb,
    attempt integer not null default 0, agent_id text, timeout interval, created_at timestamptz,
    updated_at timestamptz, started_at timestamptz, finished_at timestamptz
  ) with (fillfactor = 80);
  create index on bare_commands (agent_id) where status = 'RUNNING';
  create index on bare_commands (status, created_at, id) where status <> 'RUNNING';
  create index on bare_commands (type, created_at, id) where status <> 'RUNNING';
  create index on bare_commands (agent_id, created_at, id) where finished_at is not null;
  create table bare_tickets (
    id uuid, name text, priority integer, state text, created_on timestamptz,
    primary key (name, id)
  );
  create index on bare_tickets (priority desc, created_on)`;

const FILL = `
  with added as (
    insert into bare_commands (id, type, queue, status, payload, timeout, created_at, updated_at)
    select
      lpad(to_hex(n), 32, '0')::uuid, 'NOOP', 'default', 'PENDING', '{}', '1 min',
      now() + n * interval '1 microsecond', now()
    from generate_series(1, $1) as n
    returning id, created_at
  )
  insert into bare_tickets (id, name, priority, state, created_on)
  select id, 'default', 0, 'created', created_at from added`;
