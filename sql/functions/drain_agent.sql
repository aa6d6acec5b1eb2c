-- Asks an agent to claim no more, which holds at once and until resume_agent(): it finishes what it runs.
-- Answers whether there is such an agent.
create or replace function executor.drain_agent(p_agent_id text)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  update executor.agents
  set drain_requested_at = coalesce(drain_requested_at, clock_timestamp())
  where id = p_agent_id;
  return found;
end
$$;
comment on function executor.drain_agent(text) is
  'Asks an agent to claim no more and finish what it runs. Answers whether there is such an agent.';
