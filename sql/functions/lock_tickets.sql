-- Locks the tickets of commands, ids ascending: the first step of whatever changes waiting commands.
--
-- One lock order everywhere: agents, then tickets, then commands, ids ascending. Claiming takes the
-- ticket first, so everyone does. (What runs has none.)
--
-- Statistics must not matter: to a planner that saw the queue empty, reading all of it looks cheaper
-- than a hundred look-ups. A lateral subquery that locks leaves it no choice but one look-up each.
create or replace function executor.lock_tickets(p_ids uuid[])
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
    select c.lane from executor.commands c where c.id = wanted.id limit 1
  ) as command
  cross join lateral (
    select
    from executor_queue.job t
    where t.name = command.lane and t.id = wanted.id
    for update
  ) as ticket;
end
$$;
comment on function executor.lock_tickets(uuid[]) is
  'Internal: locks the tickets of these commands, ids ascending.';
