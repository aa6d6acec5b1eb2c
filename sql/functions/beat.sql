-- An agent's sign of life, and what it should know.
--
-- p_running: [{"id", "attempt"}] of every attempt that the agent runs or has yet to report.
-- p_settled_claim_no: the highest claim number below which no claim's reply is outstanding. A RUNNING
-- command of this session with such a number that the agent does not run was never started (the
-- claim's reply was lost): it goes back as unstarted. Comparing the lists alone would race with
-- claims in flight.
--
-- p_draining: it claims no more, and finishes what it runs. That is for good: over HTTP an older beat, given up for this
-- one, may be looked at after it.
-- p_queues, p_types: what it claims; null: what it registered.
--
-- Answers:
--   superseded   a newer process has this agent's id: stop
--   unknown      there is no such agent, or it has signed off: register
--   revoked      commands that the agent runs but no longer owns: abort them
--   cancelled    commands that it runs and that somebody asked to cancel: abort and report them
--   ready        work waits for it: claim
--   drain        somebody asked it to claim no more (claims then find nothing)
--   tick_due     nobody has ticked for 2 s: call tick()
--   interval_ms  when to beat next
--
-- A session that has signed off stays so: a beat that was on its way is no return.
--
-- Lock order: the agent, then tickets, then commands.
create or replace function executor.beat(
  p_agent_id text,
  p_session uuid,
  p_running jsonb,
  p_settled_claim_no bigint,
  p_queues text[],
  p_draining boolean default false,
  p_types text[] default null
)
returns table (
  superseded boolean,
  unknown boolean,
  revoked uuid[],
  cancelled uuid[],
  ready boolean,
  drain boolean,
  tick_due boolean,
  interval_ms integer
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_unstarted jsonb;
  v_running text[] := array(
    select concat_ws(' ', (claim ->> 'id')::uuid, (claim ->> 'attempt')::integer)
    from jsonb_array_elements(p_running) as claim
  );
begin
  if p_running is null then
    raise exception 'p_running is needed, if empty' using errcode = '22004';
  end if;
  update executor.agents
  set
    beat_at = clock_timestamp(),
    beat_clock = executor.observed_ms(),
    running = jsonb_array_length(p_running),
    draining = draining or p_draining,
    has_beaten = true,
    lost_at = null
  where id = p_agent_id and session = p_session
  returning
    drain_requested_at is not null,
    signed_off_at is not null,
    coalesce(p_queues, queues),
    coalesce(p_types, types)
  into drain, unknown, p_queues, p_types;
  superseded := not found
    and exists (select from executor.agents where id = p_agent_id and session <> p_session);
  unknown := coalesce(unknown, not superseded);
  drain := coalesce(drain, false);

  if not superseded then
    select jsonb_agg(jsonb_build_object('id', c.id, 'attempt', c.attempt))
    into v_unstarted
    from executor.commands c
    where c.agent_id = p_agent_id
      and c.session = p_session
      and c.status = 'RUNNING'
      and c.claim_no <= p_settled_claim_no
      and concat_ws(' ', c.id, c.attempt) <> all (v_running);
    if v_unstarted is not null then
      perform executor.close_attempts(p_session, v_unstarted, 'unstarted');
    else
      -- A sign of life need not wait for the disk.
      perform set_config('synchronous_commit', 'off', true);
    end if;
  end if;

  revoked := array(
    select (claim ->> 'id')::uuid
    from jsonb_array_elements(p_running) as claim
    where not exists (
      select
      from executor.commands c
      where c.id = (claim ->> 'id')::uuid
        and c.attempt = (claim ->> 'attempt')::integer
        and c.session = p_session
    )
    -- A failed attempt whose report is accepted, while the agent has yet to hear so, is not revoked.
    and not exists (
      select
      from executor.attempts a
      where a.command_id = (claim ->> 'id')::uuid
        and a.attempt = (claim ->> 'attempt')::integer
        and a.session = p_session
        and a.outcome in ('failed', 'timed_out')
    )
  );

  cancelled := array(
    select c.id
    from executor.commands c
    where c.agent_id = p_agent_id
      and c.session = p_session
      and c.status = 'RUNNING'
      and c.cancel_requested_at is not null
  );

  ready := executor.has_work(p_agent_id, p_queues, p_types);

  select
    not isfinite(clock.ticked_at) or clock.ticked_at < clock_timestamp() - interval '2 seconds',
    (extract(epoch from settings.beat_interval) * 1000)::integer
  into tick_due, interval_ms
  from executor.clock as clock
  cross join executor.settings as settings;
  return next;
end
$$;
comment on function executor.beat(text, uuid, jsonb, bigint, text[], boolean, text[]) is
  'An agent''s sign of life; answers whether it is superseded, what to abort, whether work waits, '
  'whether a tick is due, and when to beat next.';
