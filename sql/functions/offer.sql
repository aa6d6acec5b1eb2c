-- Puts PENDING commands into their lanes and wakes agents: one ticket each, one NOTIFY a lane. Its payload
-- tells agents whether it is for them: queue, type and, for the lane of one agent, that one's id.
create or replace function executor.offer(p_ids uuid[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_lanes text[] := array(select distinct lane from executor.write_tickets(p_ids) as lane);
begin
  perform pg_notify('executor_work', concat_ws(' ', l.queue, l.type, nullif(l.agent_id, '')))
  from executor.lanes l
  where l.name = any (v_lanes);
end
$$;
comment on function executor.offer(uuid[]) is
  'Internal: writes the tickets of commands that have just become PENDING, and wakes agents.';
