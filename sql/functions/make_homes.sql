-- Makes the lanes that retries whose time has come may go home to (see send_home()), where they are not
-- there yet. Before the retries are locked: somebody who is just making the same lane is waited for.
create or replace function executor.make_homes(p_due_at timestamptz, p_limit integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
begin
  perform executor.lane_of(home.queue, home.type, home.agent_id)
  from (
    select distinct due.queue, due.type, latest.agent_id
    from (
      select c.id, c.attempt, c.queue, c.type, c.target_agent_id
      from executor.commands c
      where c.status = 'SCHEDULED' and c.run_at <= p_due_at
      order by c.run_at
      limit p_limit
    ) as due
    cross join lateral (
      select a.agent_id
      from executor.attempts a
      where a.command_id = due.id and a.attempt = due.attempt
      limit 1
    ) as latest
    where due.attempt > 0
      and due.target_agent_id is null
      and exists (select from executor.agents a where a.id = latest.agent_id and a.beats)
      and not exists (
        select
        from executor.lanes l
        where l.queue = due.queue and l.type = due.type and l.agent_id = latest.agent_id
      )
    order by 1, 2, 3
  ) as home;
end
$$;
comment on function executor.make_homes(timestamptz, integer) is
  'Internal: makes the lanes of agents that retries whose time has come may go home to.';
