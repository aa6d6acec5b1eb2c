-- Whether there is something that an agent might claim: see open_lanes().
create or replace function executor.has_work(p_agent_id text, p_queues text[], p_types text[])
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_sort = off
as $$
begin
  return exists (
    select
    from executor.open_lanes(p_agent_id, p_queues, p_types) as open
    cross join lateral (
      select
      from executor_queue.job_common t
      where t.name = open.lane and t.state < 'active' and not t.blocked
      order by t.priority, t.created_on desc
      limit 1
    ) as waiting
  );
end
$$;
comment on function executor.has_work(text, text[], text[]) is
  'Internal: whether there is something that an agent might claim.';
