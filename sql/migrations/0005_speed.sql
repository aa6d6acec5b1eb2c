-- Claims that run ahead of free slots, and tickets that claims consume: only what waits has one.

delete from executor_queue.job where state = 'active';

-- A ticket is in a lane of executor.lanes, and harmless in any other. Looking its lane up once more took a
-- tenth of the time that a submission takes, and shared a lock on one row among all who submit.
set constraints all immediate; -- An upgrade that has just moved tickets into lanes has them still to check.
alter table executor_queue.job_common
  drop constraint if exists q_fkey,
  drop constraint if exists dlq_fkey;

-- Lists by creation time are merged from those by status: one entry less for each change of a command.
drop index executor.commands_created_at_idx;

-- The signatures of these have grown, or lost what nobody needs any more.
drop function if exists executor.claim(text, uuid, bigint, text[], text[], integer);
drop function if exists executor.lock_tickets(uuid[]);

-- Part of submit() now.
drop function if exists executor.attempt_timeout(executor.command_types, jsonb);

-- What a submission says is checked when it is said, by domains: Postgres reads and plans all constraints of a
-- table anew for each statement that changes a row of it, which made up a third of a small statement's time.
create domain executor.json_object as jsonb
  constraint json_object_is_an_object check (jsonb_typeof(value) = 'object');
comment on domain executor.json_object is 'A JSON object.';
create domain executor.priority as integer
  constraint priority_is_bounded check (value between -100 and 100);
comment on domain executor.priority is '-100 to 100; the higher is claimed first.';
create domain executor.tags as text[]
  constraint tags_are_bounded check (
    cardinality(value) <= 20
    and array_position(value, null) is null
    and array_position(value, '') is null
    and octet_length(array_to_string(value, '')) <= 2000
  );
comment on domain executor.tags is 'At most 20 words, of 2,000 bytes in all.';
create domain executor.concurrency_key as text
  constraint concurrency_key_is_bounded check (octet_length(value) between 1 and 255);
comment on domain executor.concurrency_key is 'A text of 1 to 255 bytes.';
create domain executor.max_attempts as integer
  constraint max_attempts_is_bounded check (value between 1 and 1000);
comment on domain executor.max_attempts is '1 to 1,000.';
create domain executor.max_losses as integer
  constraint max_losses_is_bounded check (value between 0 and 1000);
comment on domain executor.max_losses is '0 to 1,000.';
create domain executor.pause as interval
  constraint pause_is_bounded check (value between interval '0' and interval '30 days');
comment on domain executor.pause is 'At most 30 days.';
create domain executor.backoff_factor as double precision
  constraint backoff_factor_is_bounded check (value between 1 and 1000);
comment on domain executor.backoff_factor is '1 to 1,000.';
create domain executor.timeout as interval
  constraint timeout_is_positive check (value > interval '0');
comment on domain executor.timeout is 'A time that something may take.';
create domain executor.run_at as timestamptz
  constraint run_at_is_a_time check (value between '1970-01-01' and '9999-12-31');
comment on domain executor.run_at is 'A time in the years 1970 to 9999.';

drop view if exists
  executor.invariants, executor.ledger_queue_mismatch, executor.command_attempts, executor.agent_states,
  executor.queue_states, executor.lane_states;
delete from executor.definitions where name like 'views/%';

alter table executor.commands
  drop constraint commands_payload_is_an_object,
  drop constraint commands_metadata_is_an_object,
  drop constraint commands_priority_is_bounded,
  drop constraint commands_tags_are_bounded,
  drop constraint commands_concurrency_key_is_bounded,
  drop constraint commands_max_attempts_is_bounded,
  drop constraint commands_max_losses_is_bounded,
  drop constraint commands_backoff_is_bounded,
  drop constraint commands_timeout_is_positive,
  drop constraint commands_run_at_is_a_time,
  alter column payload type executor.json_object,
  alter column metadata type executor.json_object,
  alter column priority type executor.priority,
  alter column tags type executor.tags,
  alter column concurrency_key type executor.concurrency_key,
  alter column max_attempts type executor.max_attempts,
  alter column max_losses type executor.max_losses,
  alter column backoff_initial type executor.pause,
  alter column backoff_factor type executor.backoff_factor,
  alter column backoff_max type executor.pause,
  alter column timeout type executor.timeout,
  alter column run_at type executor.run_at,
  -- The same rules in fewer words, which is what they cost. (RUNNING comes between what waits and what is done.)
  drop constraint commands_waiting_has_no_owner,
  drop constraint commands_finished_at_says_done,
  add constraint commands_waiting_has_no_owner check (status >= 'RUNNING' or session is null),
  add constraint commands_finished_at_says_done check (
    (finished_at is not null) = (status > 'RUNNING')
  );
