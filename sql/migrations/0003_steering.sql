-- Submitting once (idempotency keys), one at a time (concurrency keys), following (progress, logs,
-- watchers) and steering (cancel, retry, drain).

alter table executor.commands
  add column concurrency_key text,
  add column idempotency_key text,
  add column batch_id uuid,
  add column retry_of uuid,
  add column tags text[] not null default '{}',
  add column metadata jsonb not null default '{}',
  add column cancel_requested_at timestamptz,
  add constraint commands_concurrency_key_is_bounded check (
    octet_length(concurrency_key) between 1 and 255
  ),
  add constraint commands_tags_are_bounded check (
    cardinality(tags) <= 20
    and array_position(tags, null) is null
    and array_position(tags, '') is null
    and octet_length(array_to_string(tags, '')) <= 2000
  ),
  add constraint commands_metadata_is_an_object check (jsonb_typeof(metadata) = 'object'),
  add constraint commands_blocked_has_a_key check (
    status <> 'BLOCKED' or concurrency_key is not null
  );
comment on column executor.commands.concurrency_key is
  'At most one command of a key is ready, running or pausing before a retry; the others are BLOCKED.';
comment on column executor.commands.idempotency_key is 'The key it was submitted under.';
comment on column executor.commands.batch_id is 'The commands that were submitted together.';
comment on column executor.commands.retry_of is 'The finished command that a person repeated with this.';
comment on column executor.commands.tags is 'Words to find it by.';
comment on column executor.commands.metadata is 'Whatever its submitter wants to keep with it.';
comment on column executor.commands.cancel_requested_at is
  'When a person asked to cancel it while it ran; its agent or recovery then ends it.';

-- Who holds a concurrency key; the backstop of unblock(), which alone gives a key away.
create unique index commands_concurrency_key_idx on executor.commands (concurrency_key)
where concurrency_key is not null
  and (status in ('PENDING', 'RUNNING') or (status = 'SCHEDULED' and attempt > 0));

-- Who comes next.
create index commands_blocked_idx
on executor.commands (concurrency_key, priority desc, greatest(run_at, created_at), id)
where status = 'BLOCKED';

-- What lists are narrowed by. RUNNING ones are few, and are found by commands_running_idx: leaving them
-- out spares every claim an entry. See db/index-walk.ts.
create index commands_status_idx on executor.commands (status, created_at desc, id desc)
where status <> 'RUNNING';
create index commands_type_idx on executor.commands (type, created_at desc, id desc)
where status <> 'RUNNING';
create index commands_agent_idx on executor.commands (agent_id, created_at desc, id desc)
where finished_at is not null;
create index commands_batch_idx on executor.commands (batch_id, created_at desc, id desc)
where batch_id is not null;
create index commands_retry_of_idx on executor.commands (retry_of, created_at desc, id desc)
where retry_of is not null;
create index commands_tags_idx on executor.commands using gin (tags) where tags <> '{}';

create table executor.idempotency_keys (
  key text not null,
  fingerprint bytea not null,
  command_id uuid not null,
  created_at timestamptz not null,
  constraint idempotency_keys_pkey primary key (key),
  constraint idempotency_keys_key_is_bounded check (octet_length(key) between 1 and 255)
);
comment on table executor.idempotency_keys is
  'What was submitted under a key in the last 24 h: the same key stands for the same command.';
comment on column executor.idempotency_keys.key is 'As the submitter drew it.';
comment on column executor.idempotency_keys.fingerprint is
  'SHA-256 of the submission: the same key with another one is refused.';
comment on column executor.idempotency_keys.command_id is 'The command that came of it.';
comment on column executor.idempotency_keys.created_at is 'When; 24 h later the key is free again.';
create index idempotency_keys_created_at_idx on executor.idempotency_keys (created_at);

create table executor.contended_keys (
  id bigint generated always as identity,
  concurrency_key text not null,
  constraint contended_keys_pkey primary key (id)
);
create index contended_keys_concurrency_key_idx on executor.contended_keys (concurrency_key);
comment on table executor.contended_keys is
  'Concurrency keys that two transactions looked at at once, or that were too many for one; the next '
  'tick looks at them.';
comment on column executor.contended_keys.id is 'In the order in which they came.';
comment on column executor.contended_keys.concurrency_key is 'What to look at.';

create table executor.watchers (
  id uuid not null,
  until timestamptz not null,
  constraint watchers_pkey primary key (id)
);
comment on table executor.watchers is
  'Who wants NOTIFY executor_changed; without one nothing is sent. See watch().';
comment on column executor.watchers.id is 'A server process, as it named itself.';
comment on column executor.watchers.until is 'How long, unless it says so again.';

create table executor.progress (
  command_id uuid not null,
  attempt integer not null,
  progress double precision,
  message text,
  updated_at timestamptz not null,
  constraint progress_pkey primary key (command_id),
  constraint progress_is_a_share check (progress between 0 and 1),
  constraint progress_message_is_bounded check (char_length(message) <= 500),
  constraint progress_command_fkey foreign key (command_id)
    references executor.commands (id) on delete cascade
)
with (fillfactor = 50);
comment on table executor.progress is 'How far a command is, as its executor last said.';
comment on column executor.progress.command_id is 'Whose progress it is.';
comment on column executor.progress.attempt is 'The attempt that said so.';
comment on column executor.progress.progress is 'From 0 to 1.';
comment on column executor.progress.message is 'What it is about, for people.';
comment on column executor.progress.updated_at is 'When it was said.';

create table executor.command_logs (
  command_id uuid not null,
  attempt integer not null,
  line_no integer not null,
  logged_at timestamptz not null,
  line text not null,
  constraint command_logs_pkey primary key (command_id, attempt, line_no),
  constraint command_logs_are_bounded check (line_no between 1 and 1000),
  constraint command_logs_line_is_bounded check (char_length(line) <= 2000),
  constraint command_logs_command_fkey foreign key (command_id)
    references executor.commands (id) on delete cascade
);
comment on table executor.command_logs is 'What executors logged: at most 1,000 lines an attempt.';
comment on column executor.command_logs.command_id is 'Whose line it is.';
comment on column executor.command_logs.attempt is 'The attempt that logged it.';
comment on column executor.command_logs.line_no is 'Its number within the attempt, from 1.';
comment on column executor.command_logs.logged_at is 'When it came in.';
comment on column executor.command_logs.line is 'The text, of at most 2,000 characters.';

alter table executor.agents add column draining boolean not null default false;
comment on column executor.agents.draining is
  'Whether it said that it claims no more: it finishes what it runs.';

-- Replaced: beat() also says what to cancel, the others also answer where tickets are.
drop function if exists executor.beat(text, uuid, jsonb, bigint, text[]);
drop function if exists executor.lock_tickets(uuid[]);
drop function if exists executor.write_tickets(uuid[]);
