-- Locks commands, ids ascending: the first step of whatever goes on to change some of them in another order.
create or replace function executor.lock_commands(p_ids uuid[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  perform
  from (select distinct unnest(p_ids) as id order by 1) as wanted
  cross join lateral (
    select from executor.commands c where c.id = wanted.id for no key update
  ) as command;
end
$$;
comment on function executor.lock_commands(uuid[]) is 'Internal: locks these commands, ids ascending.';
