-- Claims for many agents at once, of which some may have no session: a server's statement for those that
-- come over HTTP.
--
-- p_requests: [{"agentId", "session"?, "claimNo"?, "queues"?, "types"?, "limit"}]. Queues and types that are
-- not said are those that the agent registered. A claim without a number is none that a beat could settle.
-- Answers, per request and in order, with the session, queues and types that it comes down to:
--   claimed        commands: [{"id", "attempt"}], maybe none; more: whether there is work beyond its limit
--   draining       it was asked to claim no more
--   superseded     a newer session is this agent
--   unknown_agent  there is no such agent, or it has signed off: it has to register
--   has_session    a request without a session, for an agent that has one
--   busy           somebody holds the agent's row: ask again
--
-- A claim is a sign of life. A simple client has no session: it polls, runs what it gets, reports, and
-- never beats, so that its attempts' deadlines judge it. Its first poll registers it, under a session that
-- it does not know of; the answer says which. One that polls while it owns commands has restarted: those
-- attempts are closed as lost, and it gets them again first.
--
-- Waits for nobody's row: one agent's must not hold up the others.
--
-- Lock order: agents by id, then what is closed by id, then tickets (no waiting) and their commands.
create or replace function executor.claim_many(p_requests jsonb)
returns table (
  ordinal bigint,
  answer text,
  session uuid,
  queues text[],
  types text[],
  commands jsonb,
  more boolean
)
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
  v_answer text;
  v_session uuid;
  v_queues text[];
  v_types text[];
  v_owned jsonb;
  v_all_owned jsonb := '[]';
  v_resolved jsonb := '[]';
  v_commands jsonb;
  -- Queues and types that have nothing for just any agent.
  v_dry text[] := '{}';
  v_wanted text;
  v_is_change boolean := false;
begin
  for v_request in
    select
      batch.ordinal,
      item ->> 'agentId' as agent_id,
      (item ->> 'session')::uuid as session,
      item -> 'queues' as queues,
      item -> 'types' as types,
      (item ->> 'limit')::integer as most,
      coalesce((item ->> 'claimNo')::bigint, 9223372036854775807) as claim_no
    from jsonb_array_elements(p_requests) with ordinality as batch (item, ordinal)
    order by 2, 1
  loop
    v_answer := 'claimed';
    v_owned := null;
    if v_request.session is null then
      select * into v_agent
      from executor.agents a
      where a.id = v_request.agent_id
      for no key update skip locked;
      if not found and exists (select from executor.agents a where a.id = v_request.agent_id) then
        v_answer := 'busy';
      end if;
    else
      select * into v_agent from executor.agents a where a.id = v_request.agent_id;
    end if;
    v_session := v_agent.session;
    v_queues := case
      when v_request.queues is null then coalesce(v_agent.queues, '{default}')
      else array(select jsonb_array_elements_text(v_request.queues))
    end;
    v_types := case
      when v_request.types is null then coalesce(v_agent.types, '{}')
      else array(select jsonb_array_elements_text(v_request.types))
    end;

    if v_answer = 'busy' then
      null;
    elsif v_request.session is not null then
      if v_agent.id is null
        or (v_agent.session = v_request.session and v_agent.signed_off_at is not null) then
        v_answer := 'unknown_agent';
      elsif v_agent.session <> v_request.session then
        v_answer := 'superseded';
      else
        update executor.agents a
        set beat_at = clock_timestamp(), beat_clock = executor.observed_ms(), lost_at = null
        where a.id in (
          select same.id
          from executor.agents same
          where same.id = v_request.agent_id and same.session = v_request.session
          for no key update skip locked
        );
      end if;
    elsif v_agent.beats and v_agent.lost_at is null and v_agent.signed_off_at is null then
      v_answer := 'has_session';
    elsif v_agent.id is null or v_agent.beats then
      v_session := gen_random_uuid();
      perform executor.register_agent(
        v_request.agent_id,
        v_session,
        v_request.most,
        p_queues => v_queues,
        p_types => v_types,
        p_beats => false
      );
    else
      update executor.agents a
      set
        beat_at = clock_timestamp(),
        beat_clock = executor.observed_ms(),
        queues = v_queues,
        types = v_types,
        concurrency = v_request.most,
        lost_at = null,
        signed_off_at = null
      where a.id = v_request.agent_id;
      v_owned := executor.claims_of(v_request.agent_id, v_session);
      v_all_owned := v_all_owned || coalesce(v_owned, '[]');
    end if;
    if v_answer = 'claimed' and v_agent.drain_requested_at is not null then
      v_answer := 'draining';
    end if;
    v_resolved := v_resolved || jsonb_build_object(
      'ordinal', v_request.ordinal,
      'agent_id', v_request.agent_id,
      'answer', v_answer,
      'session', v_session,
      'queues', v_queues,
      'types', v_types,
      'most', v_request.most,
      'claim_no', v_request.claim_no,
      'owned', v_owned
    );
  end loop;

  if v_all_owned <> '[]' then
    perform executor.lock_commands(
      array(select (claim ->> 'id')::uuid from jsonb_array_elements(v_all_owned) as claim)
    );
  end if;

  for v_request in
    select *
    from jsonb_to_recordset(v_resolved) as r (
      ordinal bigint, agent_id text, answer text, session uuid, queues text[], types text[],
      most integer, claim_no bigint, owned jsonb
    )
    order by r.ordinal
  loop
    ordinal := v_request.ordinal;
    answer := v_request.answer;
    session := v_request.session;
    queues := v_request.queues;
    types := v_request.types;
    commands := '[]';
    if v_request.owned is not null then
      commands := executor.reclaim(
        v_request.agent_id,
        session,
        v_request.claim_no,
        array(
          select closed from executor.close_attempts(session, v_request.owned, 'lost') as closed
        ),
        case answer when 'claimed' then v_request.most else 0 end
      );
    end if;
    v_wanted := concat_ws(' ', queues, types);
    if answer = 'claimed'
      and jsonb_array_length(commands) < v_request.most
      and (
        v_wanted <> all (v_dry)
        or exists (select from executor.lanes l where l.agent_id = v_request.agent_id)
      ) then
      select coalesce(jsonb_agg(jsonb_build_object('id', claimed.id, 'attempt', claimed.attempt)), '[]')
      into v_commands
      from executor.claim(
        v_request.agent_id,
        session,
        v_request.claim_no,
        queues,
        types,
        v_request.most - jsonb_array_length(commands)
      ) as claimed;
      commands := commands || v_commands;
      if jsonb_array_length(commands) < v_request.most then
        v_dry := v_dry || v_wanted;
      end if;
    end if;
    more := jsonb_array_length(commands) >= v_request.most
      and executor.has_work(v_request.agent_id, queues, types);
    v_is_change := v_is_change or v_request.owned is not null or commands <> '[]';
    return next;
  end loop;

  if not v_is_change then
    -- Signs of life need not wait for the disk.
    perform set_config('synchronous_commit', 'off', true);
  end if;
end
$$;
comment on function executor.claim_many(jsonb) is
  'Claims for many agents at once: [{"agentId", "session"?, "claimNo"?, "queues"?, "types"?, "limit"}]; '
  'answers claimed, draining, superseded, unknown_agent, has_session or busy, and the commands, for each.';
