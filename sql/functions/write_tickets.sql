-- Writes the tickets of PENDING commands. Answers the lane of each.
--
-- One that was claimed before goes by when it was submitted, or due: it has its old place. A stray ticket is
-- left to repair(): to be ready for one (on conflict) costs every insert a tenth.
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
    insert into executor.tickets (id, lane, priority, ready_at)
    select
      c.id,
      c.lane,
      c.priority,
      case when c.attempt = 0 then c.updated_at else greatest(c.run_at, c.created_at) end
    from executor.commands c
    where c.id = any (p_ids)
      and c.status::text = 'PENDING'
      and not exists (
        select from executor_queue.job_common t where t.name = c.lane and t.id = c.id offset 0
      )
    order by c.updated_at
    returning tickets.lane;
end
$$;
comment on function executor.write_tickets(uuid[]) is
  'Internal: writes the tickets of PENDING commands; answers their lanes.';
