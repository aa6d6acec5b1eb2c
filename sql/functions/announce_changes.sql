-- Tells watchers which commands changed: NOTIFY executor_changed with their ids, or `many`.
--
-- Only while somebody watches (see watch()): every commit that notifies takes a database-wide lock. Who
-- begins to watch looks for itself, and once more a moment later.
create or replace function executor.announce_changes(p_ids uuid[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(cardinality(p_ids), 0) = 0
    or not exists (select from executor.watchers where until > clock_timestamp()) then
    return;
  end if;
  perform pg_notify('executor_changed', executor.payload_of(p_ids));
end
$$;
comment on function executor.announce_changes(uuid[]) is
  'Internal: NOTIFY executor_changed with the ids of commands that changed, if anybody watches.';
