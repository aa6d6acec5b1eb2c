-- A clean goodbye: the agent is off duty, and what it should still hold goes back untouched.
--
-- Lock order: the agent, then tickets, then commands.
create or replace function executor.sign_off(p_agent_id text, p_session uuid)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims jsonb;
begin
  update executor.agents
  set signed_off_at = clock_timestamp(), beat_at = clock_timestamp()
  where id = p_agent_id and session = p_session;

  select jsonb_agg(jsonb_build_object('id', id, 'attempt', attempt))
  into v_claims
  from executor.commands
  where agent_id = p_agent_id and session = p_session and status = 'RUNNING';
  if v_claims is not null then
    perform executor.reoffer(p_session, v_claims, 'released');
  end if;
end
$$;
comment on function executor.sign_off(text, uuid) is 'An agent''s clean goodbye.';
