-- The ledger: every command's whole life, one row each. Functions and views are not here; they live
-- in sql/functions and sql/views and are re-applied when they change.

create type executor.command_status as enum (
  'SCHEDULED', 'BLOCKED', 'PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED'
);
comment on type executor.command_status is
  'Where a command is. SCHEDULED waits for run_at, BLOCKED for another command, PENDING is claimable '
  'now, RUNNING is with an agent; COMPLETED, FAILED and CANCELLED are for good.';

create type executor.attempt_outcome as enum (
  'completed', 'failed', 'timed_out', 'lost', 'released', 'cancelled', 'unstarted'
);
comment on type executor.attempt_outcome is
  'How an attempt ended. released: given back by an agent that stopped; lost: its agent went away; '
  'unstarted: the claim''s reply never reached the agent. None of these three is a failure.';

create table executor.command_types (
  type text not null,
  description text not null,
  payload_schema jsonb not null,
  result_schema jsonb not null,
  default_timeout interval not null,
  timeout_payload_key text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint command_types_pkey primary key (type),
  constraint command_types_type_is_a_name check (type ~ '^[A-Za-z0-9_.:-]{1,64}$'),
  constraint command_types_default_timeout_is_positive check (default_timeout > interval '0')
);
comment on table executor.command_types is
  'Each command type''s contract (JSON Schema, draft 2020-12) and default policy.';
comment on column executor.command_types.default_timeout is
  'How long one attempt may take when the submitter does not say.';
comment on column executor.command_types.timeout_payload_key is
  'A payload member, in milliseconds, that is added to default_timeout (DELAY: ms).';

create table executor.commands (
  id uuid not null,
  type text not null,
  queue text not null default 'default',
  priority integer not null default 0,
  status executor.command_status not null,
  payload jsonb not null,
  result jsonb,
  error jsonb,
  attempt integer not null default 0,
  agent_id text,
  session uuid,
  claim_no bigint,
  timeout interval not null,
  run_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  started_at timestamptz,
  deadline_at timestamptz,
  finished_at timestamptz,
  constraint commands_pkey primary key (id),
  constraint commands_payload_is_an_object check (jsonb_typeof(payload) = 'object'),
  constraint commands_priority_is_bounded check (priority between -100 and 100),
  constraint commands_attempt_is_not_negative check (attempt >= 0),
  constraint commands_running_has_an_owner check (
    status <> 'RUNNING'
    or (
      attempt > 0
      and agent_id is not null
      and session is not null
      and claim_no is not null
      and started_at is not null
      and deadline_at is not null
    )
  ),
  constraint commands_waiting_has_no_owner check (
    status not in ('SCHEDULED', 'BLOCKED', 'PENDING') or session is null
  ),
  constraint commands_finished_at_says_done check (
    (finished_at is not null) = (status in ('COMPLETED', 'FAILED', 'CANCELLED'))
  ),
  constraint commands_scheduled_has_run_at check (status <> 'SCHEDULED' or run_at is not null),
  constraint commands_failed_has_an_error check (status <> 'FAILED' or error is not null)
)
with (
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_insert_scale_factor = 0.05,
  autovacuum_analyze_scale_factor = 0.05
);
comment on table executor.commands is
  'The ledger: one row for a command''s whole life, the only truth about its state.';
comment on column executor.commands.id is 'UUIDv7, drawn by the server or by submit_command().';
comment on column executor.commands.priority is '-100 to 100; the higher is claimed first.';
comment on column executor.commands.result is 'What the executor returned; set when COMPLETED.';
comment on column executor.commands.error is
  'Why it FAILED: {"code", "message", "retryable"}.';
comment on column executor.commands.attempt is
  'The number of the latest claim, from 1; never falls and is never reused. 0: not yet claimed.';
comment on column executor.commands.session is
  'The agent process that owns the attempt; with id and attempt it is the fence for reports.';
comment on column executor.commands.claim_no is
  'The session''s number for the claim that took this command; see beat().';
comment on column executor.commands.timeout is 'How long one attempt may take.';
comment on column executor.commands.deadline_at is 'When the running attempt times out.';

-- What people page through. The primary key alone would not do: ids follow the clocks of servers.
create index commands_created_at_idx on executor.commands (created_at desc, id desc);

-- What an agent owns. Small: only running commands are in it.
create index commands_running_idx on executor.commands (agent_id, session)
where status = 'RUNNING';

create table executor.attempts (
  command_id uuid not null,
  attempt integer not null,
  agent_id text not null,
  session uuid not null,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  outcome executor.attempt_outcome not null,
  error jsonb,
  constraint attempts_pkey primary key (command_id, attempt),
  constraint attempts_command_fkey foreign key (command_id)
    references executor.commands (id) on delete cascade
);
comment on table executor.attempts is
  'Attempts that ended without finishing their command. The one that finished it is on the command''s '
  'own row; the view command_attempts shows both.';

create table executor.agents (
  id text not null,
  session uuid not null,
  registered_at timestamptz not null,
  beat_at timestamptz not null,
  signed_off_at timestamptz,
  concurrency integer not null,
  host text,
  pid integer,
  version text,
  constraint agents_pkey primary key (id),
  constraint agents_id_is_a_name check (id ~ '^[A-Za-z0-9._-]{1,64}$'),
  constraint agents_concurrency_is_positive check (concurrency > 0)
)
with (fillfactor = 50);
comment on table executor.agents is 'Every agent that ever registered, with its latest session.';
comment on column executor.agents.session is
  'The process that is this agent now; an older process with the same id is superseded.';
comment on column executor.agents.beat_at is 'Its latest sign of life.';
comment on column executor.agents.signed_off_at is 'When it said goodbye; null while it is on duty.';
