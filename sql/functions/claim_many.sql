-- Claims for many agents at once, of which some may have no session: a server's statement for those that
-- come over HTTP.
--
-- p_requests: [{"agentId", "session"?, "claimNo"?, "queues", "types", "limit"}]. Answers, per request and
-- in order:
--   claimed        commands: [{"id", "attempt"}], maybe none
--   superseded     a newer session is this agent
--   unknown_agent  there is no such agent, or it has signed off: it has to register
--   has_session    a request without a session, for an agent that has one
--
-- A claim is a sign of life. A simple client has no session: it polls, runs what it gets, reports, and
-- never beats, so that its attempts' deadlines judge it. Its first poll registers it, under a session that
-- it does not know of; the answer says which. One that polls while it owns commands has restarted: those
-- attempts are closed as lost, and it gets them again first.
--
-- Lock order: agents by id, then tickets by id, then commands.
create or replace function executor.claim_many(p_requests jsonb)
returns table (ordinal bigint, answer text, session uuid, commands jsonb)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  v_request record;
  v_agent executor.agents;
  -- By ordinal.
  v_answers text[] := array_fill('claimed'::text, array[jsonb_array_length(p_requests)]);
  v_sessions uuid[] := array_fill(null::uuid, array[jsonb_array_length(p_requests)]);
  v_owned jsonb := '{}';
  v_claims jsonb;
  v_again uuid[];
  v_more jsonb;
  -- Where there is nothing for any agent.
  v_dry jsonb[] := '{}';
begin
  for v_request in
    select
      batch.ordinal,
      item ->> 'agentId' as agent_id,
      (item ->> 'session')::uuid as session,
      array(select jsonb_array_elements_text(item -> 'queues')) as queues,
      array(select jsonb_array_elements_text(item -> 'types')) as types,
      (item ->> 'limit')::integer as most
    from jsonb_array_elements(p_requests) with ordinality as batch (item, ordinal)
    order by 2, 1
  loop
    select * into v_agent from executor.agents a where a.id = v_request.agent_id for no key update;
    if v_request.session is not null then
      if not found or (v_agent.session = v_request.session and v_agent.signed_off_at is not null) then
        v_answers[v_request.ordinal] := 'unknown_agent';
      elsif v_agent.session <> v_request.session then
        v_answers[v_request.ordinal] := 'superseded';
      else
        v_sessions[v_request.ordinal] := v_agent.session;
        update executor.agents a
        set beat_at = clock_timestamp(), beat_clock = executor.observed_ms(), lost_at = null
        where a.id = v_request.agent_id;
      end if;
    elsif v_agent.beats and v_agent.lost_at is null and v_agent.signed_off_at is null then
      v_answers[v_request.ordinal] := 'has_session';
    elsif v_agent.id is null or v_agent.beats then
      v_sessions[v_request.ordinal] := gen_random_uuid();
      perform executor.register_agent(
        v_request.agent_id,
        v_sessions[v_request.ordinal],
        v_request.most,
        p_queues => v_request.queues,
        p_types => v_request.types,
        p_beats => false
      );
    else
      v_sessions[v_request.ordinal] := v_agent.session;
      update executor.agents a
      set
        beat_at = clock_timestamp(),
        beat_clock = executor.observed_ms(),
        queues = v_request.queues,
        types = v_request.types,
        concurrency = v_request.most,
        lost_at = null,
        signed_off_at = null
      where a.id = v_request.agent_id;
      v_claims := executor.claims_of(v_request.agent_id, v_agent.session);
      if v_claims is not null then
        v_owned := v_owned || jsonb_build_object(v_request.ordinal::text, v_claims);
      end if;
    end if;
  end loop;

  if v_owned <> '{}' then
    perform executor.lock_tickets(array(
      select (claim ->> 'id')::uuid
      from jsonb_each(v_owned) as owned
      cross join lateral jsonb_array_elements(owned.value) as claim
    ));
  end if;

  for v_request in
    select
      batch.ordinal,
      item ->> 'agentId' as agent_id,
      coalesce((item ->> 'claimNo')::bigint, 0) as claim_no,
      array(select jsonb_array_elements_text(item -> 'queues')) as queues,
      array(select jsonb_array_elements_text(item -> 'types')) as types,
      (item ->> 'limit')::integer as most,
      jsonb_build_array(item -> 'queues', item -> 'types') as wanted
    from jsonb_array_elements(p_requests) with ordinality as batch (item, ordinal)
    order by 1
  loop
    ordinal := v_request.ordinal;
    answer := v_answers[ordinal];
    session := v_sessions[ordinal];
    commands := '[]';
    if answer <> 'claimed' then
      return next;
      continue;
    end if;

    v_claims := v_owned -> ordinal::text;
    if v_claims is not null then
      v_again := array(
        select closed from executor.close_attempts(session, v_claims, 'lost') as closed
      );
      commands := executor.reclaim(
        v_request.agent_id, session, v_request.claim_no, v_again, v_request.most
      );
    end if;
    if jsonb_array_length(commands) < v_request.most
      and (
        v_request.wanted <> all (v_dry)
        or exists (select from executor.lanes l where l.agent_id = v_request.agent_id)
      ) then
      select coalesce(jsonb_agg(jsonb_build_object('id', claimed.id, 'attempt', claimed.attempt)), '[]')
      into v_more
      from executor.claim(
        v_request.agent_id,
        session,
        v_request.claim_no,
        v_request.queues,
        v_request.types,
        v_request.most - jsonb_array_length(commands)
      ) as claimed;
      commands := commands || v_more;
      if jsonb_array_length(commands) < v_request.most then
        v_dry := v_dry || v_request.wanted;
      end if;
    end if;
    return next;
  end loop;
end
$$;
comment on function executor.claim_many(jsonb) is
  'Claims for many agents at once: [{"agentId", "session"?, "claimNo"?, "queues", "types", "limit"}]; '
  'answers claimed, superseded, unknown_agent or has_session, and the commands, for each.';
