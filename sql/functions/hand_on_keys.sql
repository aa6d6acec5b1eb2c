-- Hands on the concurrency keys of those of these commands that are done: see unblock(), and mind that it
-- comes last.
create or replace function executor.hand_on_keys(p_ids uuid[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_keys text[];
begin
  if coalesce(cardinality(p_ids), 0) = 0 then
    return;
  end if;
  select array_agg(c.concurrency_key)
  into v_keys
  from executor.commands c
  where c.id = any (p_ids) and c.concurrency_key is not null and c.finished_at is not null;
  if v_keys is not null then
    perform executor.unblock(v_keys);
  end if;
end
$$;
comment on function executor.hand_on_keys(uuid[]) is
  'Internal: hands on the concurrency keys of those of these commands that are done.';
