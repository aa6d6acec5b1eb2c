-- Retries, losses, deferred starts, signs of life, and the clock that recovery goes by.

create type executor.delivery as enum ('at_least_once', 'at_most_once');
comment on type executor.delivery is
  'What follows an attempt whose end nobody knows. at_least_once: the command is tried again; '
  'at_most_once: it is FAILED as interrupted.';

alter table executor.commands
  add column failures integer not null default 0,
  add column losses integer not null default 0,
  add column max_attempts integer not null default 3,
  add column max_losses integer not null default 3,
  add column backoff_initial interval not null default '1 second',
  add column backoff_factor double precision not null default 2,
  add column backoff_max interval not null default '1 hour',
  add column delivery executor.delivery not null default 'at_least_once',
  add constraint commands_failures_are_bounded check (failures between 0 and max_attempts),
  add constraint commands_losses_are_bounded check (losses between 0 and max_losses + 1),
  add constraint commands_max_attempts_is_bounded check (max_attempts between 1 and 1000),
  add constraint commands_max_losses_is_bounded check (max_losses between 0 and 1000),
  add constraint commands_backoff_is_bounded check (
    backoff_initial between interval '0' and interval '30 days'
    and backoff_factor between 1 and 1000
    and backoff_max between interval '0' and interval '30 days'
  ),
  add constraint commands_timeout_is_positive check (timeout > interval '0'),
  add constraint commands_run_at_is_a_time check (run_at between '1970-01-01' and '9999-12-31');
comment on column executor.commands.failures is 'Attempts that failed or timed out.';
comment on column executor.commands.losses is 'Attempts whose agent was lost.';
comment on column executor.commands.max_attempts is
  'After so many failures the command is FAILED; 1 means no retry.';
comment on column executor.commands.max_losses is
  'After more losses than this the command is FAILED as poison.';
comment on column executor.commands.backoff_initial is
  'The longest pause before the first retry; the pause is drawn from 0 to it (full jitter).';
comment on column executor.commands.backoff_factor is 'What the longest pause grows by each retry.';
comment on column executor.commands.backoff_max is 'The longest pause there is.';
comment on column executor.commands.delivery is 'What follows an attempt whose end nobody knows.';
comment on column executor.commands.run_at is
  'Not before this time: a deferred start, or a retry after its pause.';

-- What promote() walks. Small: only deferred commands are in it.
create index commands_scheduled_idx on executor.commands (run_at) where status = 'SCHEDULED';

alter table executor.agents
  add column beat_clock bigint not null default 0,
  add column session_lock boolean not null default false,
  add column unlocked_at timestamptz,
  add column lost_at timestamptz,
  add column running integer not null default 0;
comment on column executor.agents.beat_clock is
  'What executor.clock showed at the latest sign of life, in ms: silence is measured on it.';
comment on column executor.agents.session_lock is
  'Whether this session holds an advisory lock, whose end shows that the process is gone.';
comment on column executor.agents.unlocked_at is
  'Since when that lock has been missing; null while it is held.';
comment on column executor.agents.lost_at is
  'When it was found lost; null again as soon as it shows a sign of life.';
comment on column executor.agents.running is 'How many commands it said it runs, at its last beat.';

create table executor.settings (
  one boolean not null default true,
  beat_interval interval not null default '5 seconds',
  lost_after interval not null default '15 seconds',
  unlocked_grace interval not null default '1 second',
  deadline_grace interval not null default '10 seconds',
  constraint settings_pkey primary key (one),
  constraint settings_is_one_row check (one),
  constraint settings_lost_after_spans_beats check (lost_after >= 2 * beat_interval)
);
comment on table executor.settings is
  'What operators may tune; one row. Agents learn of it at their next beat: until then a lost_after '
  'below the old beat_interval finds live agents lost.';
comment on column executor.settings.beat_interval is 'How often agents beat; they are told at each beat.';
comment on column executor.settings.lost_after is 'How long an agent may be silent, as observed.';
comment on column executor.settings.unlocked_grace is
  'How long an agent''s session lock may be missing: it may just be reconnecting.';
comment on column executor.settings.deadline_grace is
  'How long after its deadline an attempt is left to its agent, which times it out by itself.';
insert into executor.settings default values;

create table executor.clock (
  one boolean not null default true,
  observed_ms bigint not null default 0,
  ticked_at timestamptz not null default '-infinity',
  watching_since timestamptz not null default '-infinity',
  repaired_to uuid not null default '00000000-0000-0000-0000-000000000000',
  constraint clock_pkey primary key (one),
  constraint clock_is_one_row check (one)
)
with (fillfactor = 10);
comment on table executor.clock is
  'Observed time; one row. It advances by at most 6 s a tick: time that nobody watched does not count, '
  'so that a database that was away makes no live agent look dead.';
comment on column executor.clock.ticked_at is 'When tick() last ran.';
comment on column executor.clock.watching_since is
  'Since when there has been no gap of over 6 s between ticks, in this run of the server.';
comment on column executor.clock.repaired_to is 'Where repair() goes on.';
insert into executor.clock default values;

create unlogged table executor.incarnation (
  one boolean not null default true,
  postmaster_started_at timestamptz not null,
  constraint incarnation_pkey primary key (one),
  constraint incarnation_is_one_row check (one)
);
comment on table executor.incarnation is
  'This run of the server. Unlogged: a crash empties it, which tells that all session locks are gone.';

-- `\d+` is the manual.
comment on column executor.agents.id is 'Its name; outlives its processes.';
comment on column executor.agents.registered_at is 'When its latest session began.';
comment on column executor.agents.concurrency is 'How many commands it executes at once.';
comment on column executor.agents.host is 'Where its process runs.';
comment on column executor.agents.pid is 'Its process there.';
comment on column executor.agents.version is 'The version of its code.';
comment on column executor.attempts.command_id is 'Whose attempt it was.';
comment on column executor.attempts.attempt is 'Its number, from 1.';
comment on column executor.attempts.agent_id is 'Who claimed it.';
comment on column executor.attempts.session is 'Which process of that agent.';
comment on column executor.attempts.started_at is 'When it was claimed.';
comment on column executor.attempts.finished_at is 'When it was closed.';
comment on column executor.attempts.outcome is 'How it ended.';
comment on column executor.attempts.error is
  'Why it failed or timed out: {"code", "message", "retryable"}.';
comment on column executor.clock.one is 'Holds the table to one row.';
comment on column executor.clock.observed_ms is 'Time that somebody watched, in ms.';
comment on column executor.command_types.type is 'What submitters name.';
comment on column executor.command_types.description is
  'One sentence for people who choose a type.';
comment on column executor.command_types.payload_schema is
  'JSON Schema of the payload; servers check submissions against it.';
comment on column executor.command_types.result_schema is 'JSON Schema of the result.';
comment on column executor.command_types.created_at is 'When it was first published.';
comment on column executor.command_types.updated_at is 'When its contract last changed.';
comment on column executor.commands.type is 'What is to be done: a row of command_types.';
comment on column executor.commands.queue is 'Where agents find it: a pg-boss queue.';
comment on column executor.commands.status is 'Where it is.';
comment on column executor.commands.payload is 'What its executor gets: a JSON object.';
comment on column executor.commands.agent_id is 'The agent that runs it, or ran it last.';
comment on column executor.commands.created_at is 'When it was submitted.';
comment on column executor.commands.updated_at is 'When its row last changed.';
comment on column executor.commands.started_at is
  'When the latest attempt was claimed; null while it waits.';
comment on column executor.commands.finished_at is 'When it was done for good.';
comment on column executor.definitions.name is 'The file, below sql/.';
comment on column executor.definitions.checksum is 'SHA-256 of the file as applied.';
comment on column executor.definitions.applied_at is 'When that was.';
comment on column executor.incarnation.one is 'Holds the table to one row.';
comment on column executor.incarnation.postmaster_started_at is
  'When this run of the server began.';
comment on column executor.migrations.id is 'The number that its file name starts with.';
comment on column executor.migrations.name is 'The file, below sql/.';
comment on column executor.migrations.checksum is 'SHA-256 of the file as applied.';
comment on column executor.migrations.applied_at is 'When that was.';
comment on column executor.settings.one is 'Holds the table to one row.';

-- Replaced by close_attempts(); the signatures of these have grown.
drop function if exists executor.reoffer(uuid, jsonb, executor.attempt_outcome);
drop function if exists executor.submit_command(text, jsonb, text, integer);
drop function if exists executor.beat(text, uuid, jsonb, bigint, text[]);
