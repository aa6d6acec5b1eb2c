// The limit: the same two tables, with the columns and indexes that the row changes are about, filled in the same
// order, and no framework.

import { startWorker, withClient, type Peer } from './peer.ts';

export const bare: Peer = {
  subject: 'bare SQL in a loop',
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
  start: (url, concurrency) => {
    const env = { DATABASE_URL: url, CONCURRENCY: String(concurrency) };
    return Promise.resolve(startWorker('workers/bare.ts', env));
  },
  pace: () => 24_000,
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
