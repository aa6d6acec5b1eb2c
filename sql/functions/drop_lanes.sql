-- Drops the lanes of agents that have been gone for a day and that nothing is meant for. Answers how many.
create or replace function executor.drop_lanes(p_limit integer default 100)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_lane record;
  v_dropped integer := 0;
begin
  for v_lane in
    select l.name, l.agent_id
    from executor.lanes l
    where l.agent_id <> ''
      and not exists (
        select
        from executor.agents a
        where a.id = l.agent_id
          and coalesce(a.signed_off_at, a.lost_at, 'infinity') > now() - interval '1 day'
      )
    limit p_limit
    for update of l skip locked
  loop
    -- In statements of their own: who got this lane from lane_of() has committed by now.
    continue when exists (select from executor_queue.job t where t.name = v_lane.name)
      or exists (
        select
        from executor.commands c
        where c.target_agent_id = v_lane.agent_id and c.finished_at is null
      );
    delete from executor.lanes where name = v_lane.name;
    perform executor_queue.delete_queue(v_lane.name);
    v_dropped := v_dropped + 1;
  end loop;
  return v_dropped;
end
$$;
comment on function executor.drop_lanes(integer) is
  'Internal: drops lanes of agents that are gone and that nothing is meant for; answers how many.';
