-- Claims that run ahead of free slots, and tickets that claims consume: only what waits has one.

delete from executor_queue.job where state = 'active';

-- A ticket is in a lane of executor.lanes, and harmless in any other. Looking its lane up once more took a
-- tenth of the time that a submission takes, and shared a lock on one row among all who submit.
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
