-- One report, whatever it says: see finish(), which has locked the ticket and the command, and hands on the
-- concurrency key.
--
-- A report from an attempt that was closed as lost is accepted if it is a completion and the command
-- still waits: then the work need not be done again. Its ticket, if it has one by now, is looked for
-- with SKIP LOCKED: one that is taken means that a claim is in flight, which then owns the command.
create or replace function executor.finish_one(p_report jsonb)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_attempt integer := (p_report ->> 'attempt')::integer;
  v_session uuid := (p_report ->> 'session')::uuid;
  v_outcome executor.attempt_outcome := p_report ->> 'outcome';
  v_command executor.commands;
  v_closed executor.attempts;
begin
  select * into v_command
  from executor.commands
  where id = (p_report ->> 'id')::uuid
  for no key update;
  if not found then
    return 'unknown';
  end if;

  if v_command.attempt = v_attempt and v_command.session = v_session then
    if v_command.status = 'RUNNING' then
      if v_outcome = 'completed' then
        update executor.commands
        set
          status = 'COMPLETED',
          result = p_report -> 'result',
          finished_at = clock_timestamp(),
          updated_at = clock_timestamp()
        where id = v_command.id;
        return 'accepted';
      end if;
      -- Nobody asked to cancel it: then its agent just does not run it any more.
      if v_outcome = 'cancelled' and v_command.cancel_requested_at is null then
        v_outcome := 'released';
      end if;
      perform executor.end_attempt(v_command.id, v_outcome, p_report -> 'error');
      return 'accepted';
    end if;
    return case
      when v_command.status = 'COMPLETED'
        and v_outcome = 'completed'
        and v_command.result is not distinct from p_report -> 'result'
        then 'accepted'
      when v_command.status = 'CANCELLED' and v_outcome = 'cancelled' then 'accepted'
      -- A repeat says the same again. Other words: recovery timed it out before the report came.
      when v_command.status = 'FAILED'
        and v_outcome <> 'completed'
        and v_command.error
          = coalesce(nullif(p_report -> 'error', 'null'), jsonb_build_object('code', v_outcome))
        then 'accepted'
      else 'stale'
    end;
  end if;

  select * into v_closed
  from executor.attempts
  where command_id = v_command.id and attempt = v_attempt and session = v_session;
  if not found then
    return 'stale';
  end if;
  if v_closed.outcome = v_outcome
    or (v_closed.outcome = 'released' and v_outcome = 'cancelled') then
    return 'accepted';
  end if;
  if v_outcome <> 'completed'
    or v_closed.outcome <> 'lost'
    or v_command.attempt <> v_attempt
    or v_command.status not in ('PENDING', 'SCHEDULED', 'BLOCKED') then
    return 'stale';
  end if;

  if v_command.status = 'PENDING' then
    perform
    from executor_queue.job
    where name = v_command.lane and id = v_command.id
    for update skip locked;
    if not found then
      return 'stale';
    end if;
    delete from executor_queue.job where name = v_command.lane and id = v_command.id;
  end if;
  delete from executor.attempts where command_id = v_command.id and attempt = v_attempt;
  update executor.commands
  set
    status = 'COMPLETED',
    result = p_report -> 'result',
    agent_id = v_closed.agent_id,
    session = v_closed.session,
    started_at = v_closed.started_at,
    finished_at = clock_timestamp(),
    updated_at = clock_timestamp()
  where id = v_command.id;
  return 'accepted';
end
$$;
comment on function executor.finish_one(jsonb) is
  'Internal: one report, whatever it says; answers accepted, stale or unknown.';
