-- The lane of a queue and a type, or of what is meant for one agent; makes it if it is not there yet.
--
-- Those without an agent are made with their queue or type, so that submissions find them there. Those of
-- an agent are dropped some time after it is gone (drop_lanes()), but not under whoever got one from here.
create or replace function executor.lane_of(p_queue text, p_type text, p_agent_id text default '')
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_lane text;
begin
  loop
    select name into v_lane
    from executor.lanes
    where queue = p_queue and type = p_type and agent_id = p_agent_id
    for key share;
    if found then
      return v_lane;
    end if;
    insert into executor.lanes (queue, type, agent_id)
    values (p_queue, p_type, p_agent_id)
    on conflict do nothing
    returning name into v_lane;
    if found then
      perform executor_queue.create_queue(v_lane, '{"policy": "standard", "retryLimit": 0}');
      return v_lane;
    end if;
  end loop;
end
$$;
comment on function executor.lane_of(text, text, text) is
  'Internal: the lane (pg-boss queue) of a queue and a type; makes it if it is not there yet.';
