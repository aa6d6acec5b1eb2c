-- Writes the tickets of PENDING commands. Answers the lane of each.
--
-- A ticket is a pg-boss job with the command's id and no data. Its columns tell pg-boss's own upkeep,
-- should anybody ever run it, to leave it alone. created_on is when the command became ready: first
-- ready, first out. One that was claimed before goes by when it was submitted, or due: it has its old place.
--
-- Into the table that pg-boss keeps them in, not through the partitioned one above it; and a stray ticket
-- is left to repair(): to be ready for one (on conflict) costs every insert a tenth.
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
    insert into executor_queue.job_common
      (id, name, priority, policy, state, retry_limit, expire_seconds, start_after, created_on, keep_until)
    select
      c.id,
      c.lane,
      c.priority,
      'standard',
      'created'::executor_queue.job_state,
      0,
      2147483647,
      '-infinity',
      case when c.attempt = 0 then c.updated_at else greatest(c.run_at, c.created_at) end,
      'infinity'
    from executor.commands c
    where c.id = any (p_ids)
      and c.status::text = 'PENDING'
      and not exists (
        select from executor_queue.job_common t where t.name = c.lane and t.id = c.id offset 0
      )
    order by c.updated_at
    returning job_common.name;
end
$$;
comment on function executor.write_tickets(uuid[]) is
  'Internal: writes the tickets of PENDING commands; answers their lanes.';
