-- Asks for NOTIFY executor_changed for a while; repeat it for as long as somebody watches.
--
-- Transactions that were under way may not have seen the watcher: look once more after some seconds.
create or replace function executor.watch(p_id uuid, p_for interval default '30 seconds')
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into executor.watchers (id, until)
  values (p_id, clock_timestamp() + p_for)
  on conflict (id) do update set until = excluded.until
$$;
comment on function executor.watch(uuid, interval) is
  'Asks for NOTIFY executor_changed (ids of commands that changed, or "many") for a while.';
