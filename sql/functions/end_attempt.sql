-- What follows an attempt that did not complete its command: the one place that decides.
--
--   unstarted   the claim's reply was lost: PENDING, in its old place
--   released    its agent stopped: PENDING, in its old place
--   lost        its agent went away: PENDING; after max_losses of these FAILED as poison
--   failed, timed_out   SCHEDULED after a pause; FAILED when out of attempts or not retryable
--   cancelled   CANCELLED; and so does every other end of a command that somebody asked to cancel
--
-- Under at_most_once everything but unstarted ends FAILED: as itself when it failed, else as
-- interrupted. p_counts: whether a loss counts towards poison (not when the process was alive).
--
-- The caller has locked the command, which is RUNNING, and hands on the concurrency keys
-- (hand_on_keys) once it has locked all that it needs. Answers the new status.
create or replace function executor.end_attempt(
  p_id uuid,
  p_outcome executor.attempt_outcome,
  p_error jsonb default null,
  p_counts boolean default true
)
returns executor.command_status
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_command executor.commands;
  v_now timestamptz := clock_timestamp();
  v_failures integer;
  v_losses integer;
  v_status executor.command_status;
  v_error jsonb := nullif(p_error, 'null');
  v_run_at timestamptz;
  v_lane text;
  -- The attempt that ends a command stays on its row; any other becomes a row in attempts.
  v_stays boolean := false;
begin
  select * into strict v_command from executor.commands where id = p_id;
  v_failures := v_command.failures + (p_outcome in ('failed', 'timed_out'))::integer;
  v_losses := v_command.losses + (p_outcome = 'lost' and p_counts)::integer;
  v_run_at := v_command.run_at;
  v_lane := v_command.lane;
  if v_command.home_until is not null then
    v_lane := executor.lane_of(v_command.queue, v_command.type);
  end if;

  if p_outcome = 'cancelled' or v_command.cancel_requested_at is not null then
    v_status := 'CANCELLED';
    v_stays := p_outcome = 'cancelled';
  elsif p_outcome = 'unstarted' then
    v_status := 'PENDING';
  elsif p_outcome = 'failed' and v_command.delivery = 'at_most_once' then
    v_status := 'FAILED';
    v_stays := true;
  elsif v_command.delivery = 'at_most_once' then
    v_status := 'FAILED';
    v_error := jsonb_build_object(
      'code', 'interrupted',
      'message', format('attempt %s was %s, and may not be repeated', v_command.attempt, p_outcome),
      'retryable', false
    );
  elsif p_outcome = 'released' then
    v_status := 'PENDING';
  elsif p_outcome = 'lost' and v_losses > v_command.max_losses then
    v_status := 'FAILED';
    v_error := jsonb_build_object(
      'code', 'poison',
      'message', format('%s agents were lost while they ran it', v_losses),
      'retryable', false
    );
  elsif p_outcome = 'lost' then
    v_status := 'PENDING';
  elsif v_failures >= v_command.max_attempts
    or not coalesce((p_error ->> 'retryable')::boolean, true) then
    v_status := 'FAILED';
    v_stays := true;
  else
    v_status := 'SCHEDULED';
    v_run_at := v_now + executor.retry_pause(
      v_command.backoff_initial,
      v_command.backoff_factor,
      v_command.backoff_max,
      v_command.failures
    );
  end if;

  if not v_stays then
    insert into executor.attempts
      (command_id, attempt, agent_id, session, started_at, finished_at, outcome, error)
    values
      (p_id, v_command.attempt, v_command.agent_id, v_command.session, v_command.started_at, v_now,
        p_outcome, p_error);
  end if;

  update executor.commands
  set
    status = v_status,
    lane = v_lane,
    home_until = null,
    failures = v_failures,
    losses = v_losses,
    error = case when v_status = 'FAILED' then coalesce(v_error, jsonb_build_object('code', p_outcome)) end,
    run_at = v_run_at,
    agent_id = case when v_status in ('FAILED', 'CANCELLED') then agent_id end,
    session = case when v_stays then session end,
    claim_no = case when v_stays then claim_no end,
    started_at = case when v_status in ('FAILED', 'CANCELLED') then started_at end,
    deadline_at = case when v_stays then deadline_at end,
    finished_at = case when v_status in ('FAILED', 'CANCELLED') then v_now end,
    updated_at = v_now
  where id = p_id;

  if v_status = 'PENDING' then
    perform executor.offer(array[p_id]);
  elsif v_status = 'SCHEDULED' then
    perform executor.announce_due(v_run_at);
  end if;
  return v_status;
end
$$;
comment on function executor.end_attempt(uuid, executor.attempt_outcome, jsonb, boolean) is
  'Internal: decides what follows an attempt that did not complete its command.';
