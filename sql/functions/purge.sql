-- Drops what has served its time: idempotency keys after 24 h, watchers that went away. Answers how many.
create or replace function executor.purge(p_limit integer default 10000)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_purged integer;
begin
  delete from executor.idempotency_keys
  where key = any (array(
    select key
    from executor.idempotency_keys
    where created_at < v_now - interval '24 hours'
    order by created_at
    limit p_limit
    for update skip locked
  ));
  get diagnostics v_purged = row_count;
  delete from executor.watchers
  where id = any (array(
    select id from executor.watchers where until < v_now - interval '1 minute' for update skip locked
  ));
  return v_purged;
end
$$;
comment on function executor.purge(integer) is
  'Drops idempotency keys after 24 h, and watchers that went away; answers how many keys.';
