-- Lets an agent claim again that drain_agent() asked not to, and wakes it. Answers whether there is such
-- an agent.
create or replace function executor.resume_agent(p_agent_id text)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  update executor.agents set drain_requested_at = null where id = p_agent_id;
  if not found then
    return false;
  end if;
  perform pg_notify('executor_work', concat_ws(' ', l.queue, l.type, a.id))
  from executor.agents a
  cross join lateral executor.open_lanes(a.id, a.queues, a.types) as open
  join executor.lanes l on l.name = open.lane
  where a.id = p_agent_id
  limit 1;
  return true;
end
$$;
comment on function executor.resume_agent(text) is
  'Lets a drained agent claim again. Answers whether there is such an agent.';
