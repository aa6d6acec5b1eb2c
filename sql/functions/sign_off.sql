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
  set signed_off_at = clock_timestamp(), beat_at = clock_timestamp(), running = 0
  where id = p_agent_id and session = p_session;

  v_claims := executor.claims_of(p_agent_id, p_session);
  if v_claims is not null then
    perform executor.close_attempts(p_session, v_claims, 'released');
  end if;
end
$$;
comment on function executor.sign_off(text, uuid) is 'An agent''s clean goodbye.';
