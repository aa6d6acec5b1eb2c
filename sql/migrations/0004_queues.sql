-- Queues, the lanes that their tickets are in, and agents of which some come over HTTP.

create table executor.queues (
  name text not null,
  paused_at timestamptz,
  created_at timestamptz not null default now(),
  constraint queues_pkey primary key (name),
  constraint queues_name_is_a_name check (name ~ '^[A-Za-z0-9._-]{1,64}$')
);
comment on table executor.queues is 'Where commands wait and agents look; create_queue() makes one.';
comment on column executor.queues.name is 'What submitters and agents name.';
comment on column executor.queues.paused_at is
  'Since when nothing of it is claimed; null while it is not paused.';
comment on column executor.queues.created_at is 'When it was created.';
insert into executor.queues (name)
select 'default'
union
select name from executor_queue.queue where name ~ '^[A-Za-z0-9._-]{1,64}$'
union
select queue from executor.commands where finished_at is null;

create table executor.lanes (
  id bigint generated always as identity,
  name text not null generated always as ('lane_' || id) stored,
  queue text not null,
  type text not null,
  agent_id text not null default '',
  constraint lanes_pkey primary key (name),
  constraint lanes_are_unique unique (queue, type, agent_id),
  constraint lanes_queue_fkey foreign key (queue) references executor.queues (name)
    on delete cascade,
  constraint lanes_type_fkey foreign key (type) references executor.command_types (type)
    on delete cascade,
  constraint lanes_agent_id_is_a_name check (agent_id ~ '^[A-Za-z0-9._-]{0,64}$')
);
create index lanes_agent_idx on executor.lanes (agent_id) where agent_id <> '';
comment on table executor.lanes is
  'The pg-boss queues that hold the tickets: one for each queue and type, and for each agent that '
  'commands are meant for.';
comment on column executor.lanes.id is 'Makes the name.';
comment on column executor.lanes.name is 'The pg-boss queue.';
comment on column executor.lanes.queue is 'The queue it is part of.';
comment on column executor.lanes.type is 'The only type of command in it.';
comment on column executor.lanes.agent_id is
  'The only agent that may claim from it; empty: any (not null, so that an index finds both at once).';

alter table executor.commands
  add column lane text,
  add column target_agent_id text,
  add column home_until timestamptz;
comment on column executor.commands.lane is 'Where its ticket is, or will be.';
comment on column executor.commands.target_agent_id is 'The only agent that may run it; null: any.';
comment on column executor.commands.home_until is
  'A retry that waits for the agent that ran it before: until then it is in that agent''s lane.';

-- What lives already moves into its lane.
insert into executor.lanes (queue, type)
select q.name, t.type from executor.queues q cross join executor.command_types t;
select executor_queue.create_queue(name, '{"policy": "standard", "retryLimit": 0}')
from executor.lanes;
update executor.commands c
set lane = l.name
from executor.lanes l
where c.finished_at is null and l.queue = c.queue and l.type = c.type;
update executor_queue.job t
set name = c.lane
from executor.commands c
where c.id = t.id and c.lane is not null;
alter table executor.commands
  add constraint commands_live_has_a_lane check (finished_at is not null or lane is not null);

-- What has waited at home for long enough.
create index commands_home_idx on executor.commands (home_until)
where home_until is not null and started_at is null and finished_at is null;

-- Lists by queue, as those by status and type. The default queue, which most commands are in, has no part
-- in it: an entry for each of them would cost 7 % more WAL.
create index commands_queue_idx on executor.commands (queue, created_at desc, id desc)
where status <> 'RUNNING' and queue <> 'default';

-- What is meant for an agent, and is not done.
create index commands_target_idx on executor.commands (target_agent_id)
where target_agent_id is not null and finished_at is null;

alter table executor.agents
  add column queues text[] not null default '{default}',
  add column types text[] not null default '{}',
  add column beats boolean not null default true,
  add column has_beaten boolean not null default false,
  add column drain_requested_at timestamptz;
comment on column executor.agents.queues is 'The queues it claims from.';
comment on column executor.agents.types is 'The types it can carry out.';
comment on column executor.agents.beats is
  'Whether it beats. One that never did (a simple HTTP client) is judged by its attempts'' deadlines only.';
comment on column executor.agents.has_beaten is
  'Whether this session has beaten by itself: then its open long polls alone do not keep it alive while '
  'it runs something.';
comment on column executor.agents.drain_requested_at is
  'When somebody asked it to claim no more; null unless they did.';

alter table executor.command_types add column built_in boolean not null default false;
comment on column executor.command_types.built_in is
  'Whether it came with this code: no agent may publish another contract for it.';

-- The signatures of these have grown.
drop function if exists executor.publish_types(jsonb);
drop function if exists executor.beat(text, uuid, jsonb, bigint, text[], boolean);
drop function if exists executor.register_agent(text, uuid, integer, text, integer, text);

-- Views cannot be replaced by ones whose columns have other names.
drop view if exists executor.invariants, executor.ledger_queue_mismatch;
delete from executor.definitions
where name in ('views/invariants.sql', 'views/ledger_queue_mismatch.sql');
