-- Every attempt of every command: the closed ones, and the one on the command's own row.
create or replace view executor.command_attempts as
select command_id, attempt, agent_id, session, started_at, finished_at, outcome, error
from executor.attempts
union all
select
  id,
  attempt,
  agent_id,
  session,
  started_at,
  finished_at,
  case status
    when 'COMPLETED' then 'completed'::executor.attempt_outcome
    when 'CANCELLED' then 'cancelled'
    when 'FAILED' then
      case error ->> 'code' when 'timed_out' then 'timed_out'::executor.attempt_outcome else 'failed' end
  end,
  error
from executor.commands
where session is not null;
comment on view executor.command_attempts is
  'Every attempt of every command; an attempt that runs has no outcome yet.';
