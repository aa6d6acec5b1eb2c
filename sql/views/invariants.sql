-- A row for each promise that the database can check by itself, with its count of violations: 0 at all
-- times, or after healing where the promise says so. Tests, the checker, operators and psql read this
-- one. It reads the whole ledger.
create or replace view executor.invariants as
select
  'I4' as invariant,
  'nothing leaves a terminal state: the trigger is in force' as promise,
  (1 - count(*))::bigint as violations
from pg_trigger
where tgname = 'commands_finished_are_immutable' and tgenabled in ('O', 'A')
union all
select 'I3', 'an idempotency key stands for one command, which has it', count(*)
from executor.idempotency_keys k
left join executor.commands c on c.id = k.command_id
where c.idempotency_key is distinct from k.key
union all
select 'I5', 'attempts are numbered 1, 2, 3 … without a gap', count(*)
from executor.commands c
where c.attempt <> (c.session is not null)::integer
  + (select count(*) from executor.attempts a where a.command_id = c.id and a.attempt <= c.attempt)
union all
select 'I6', 'a finished command has one accepted result, from its latest attempt', count(*)
from executor.commands c
where c.session is not null
  and exists (
    select from executor.attempts a where a.command_id = c.id and a.attempt >= c.attempt
  )
union all
select 'I7', 'an at-most-once command is started at most once', count(*)
from executor.commands c
where c.delivery = 'at_most_once'
  and c.attempt > 1
  and (c.session is not null)::integer + (
    select count(*) from executor.attempts a where a.command_id = c.id and a.outcome <> 'unstarted'
  ) > 1
union all
select 'I9', 'failures and losses stay within their bounds and are as many as the attempts say', count(*)
from executor.commands c
where c.failures > c.max_attempts
  or c.losses > c.max_losses + 1
  or c.failures <> (c.status = 'FAILED' and c.session is not null)::integer + (
    select count(*)
    from executor.attempts a
    where a.command_id = c.id and a.outcome in ('failed', 'timed_out')
  )
  or c.losses > (
    select count(*) from executor.attempts a where a.command_id = c.id and a.outcome = 'lost'
  ) + (c.status = 'COMPLETED')::integer
union all
select 'I11', 'nothing runs on an agent that has been silent for too long (after healing)', count(*)
from executor.commands c
left join executor.agents a on a.id = c.agent_id and a.session = c.session
where c.status = 'RUNNING'
  and (
    a.id is null
    or a.beats
    and executor.observed_ms() - a.beat_clock
      > (select extract(epoch from lost_after) * 1000 + 6000 from executor.settings)
  )
union all
select 'I12', 'nothing starts before its time', count(*)
from executor.commands c
where c.session is not null and c.started_at < c.run_at
union all
select 'I13', 'no ready command waits for over 10 s while an agent has a free slot', count(*)
from executor.commands c
where c.status = 'PENDING'
  and c.updated_at < clock_timestamp() - interval '10 seconds'
  and exists (
    select
    from executor.agent_states a
    where a.state in ('idle', 'busy')
      and a.beats
      and a.running < a.concurrency
      and c.lane in (select lane from executor.open_lanes(a.id, a.queues, a.types))
  )
union all
select 'I14', 'ledger and queue agree', count(*)
from executor.ledger_queue_mismatch
union all
select 'K1', 'one command at a time holds a concurrency key', coalesce(sum(held.commands - 1), 0)::bigint
from (
  select count(*) as commands
  from executor.commands c
  where c.concurrency_key is not null
    and (c.status in ('PENDING', 'RUNNING') or (c.status = 'SCHEDULED' and c.attempt > 0))
  group by c.concurrency_key
) as held
union all
select 'K2', 'no command waits for a concurrency key that is free and forgotten', count(*)
from executor.commands c
where c.status = 'BLOCKED'
  and not exists (
    select
    from executor.commands holder
    where holder.concurrency_key = c.concurrency_key
      and (
        holder.status in ('PENDING', 'RUNNING')
        or (holder.status = 'SCHEDULED' and holder.attempt > 0)
      )
  )
  and not exists (
    select from executor.contended_keys k where k.concurrency_key = c.concurrency_key
  )
union all
select 'C1', 'no command runs on for a minute after somebody cancelled it (after healing)', count(*)
from executor.commands c
where c.status = 'RUNNING' and c.cancel_requested_at < clock_timestamp() - interval '1 minute';
comment on view executor.invariants is
  'Each promise that the database can check by itself, with its count of violations.';
