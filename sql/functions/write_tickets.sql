-- Writes the tickets of live commands: created for PENDING ones, active for RUNNING ones.
--
-- A ticket is a pg-boss job with the command's id and no data. Its columns tell pg-boss's own upkeep,
-- should anybody ever run it, to leave it alone. created_on is when the command became ready: first
-- ready, first out. A command that comes back (its ticket is still there) keeps its place. Answers the
-- lane of each.
create or replace function executor.write_tickets(p_ids uuid[])
returns setof text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  return query
    insert into executor_queue.job
      (id, name, priority, policy, state, retry_limit, expire_seconds, start_after, created_on, keep_until)
    select
      c.id,
      c.lane,
      c.priority,
      'standard',
      case c.status when 'PENDING' then 'created'::executor_queue.job_state else 'active' end,
      0,
      2147483647,
      '-infinity',
      c.updated_at,
      'infinity'
    from executor.commands c
    where c.id = any (p_ids) and c.status::text in ('PENDING', 'RUNNING')
    order by c.updated_at
    on conflict (name, id) do update
    set
      state = excluded.state,
      started_on = case excluded.state when 'active' then job.started_on end
    returning job.name;
end
$$;
comment on function executor.write_tickets(uuid[]) is
  'Internal: writes the tickets of PENDING and RUNNING commands; answers their lanes.';
