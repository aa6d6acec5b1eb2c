-- Moves deferred commands whose time has come into the queue. Answers how many.
--
-- Whatever another session has locked is left for the next time.
create or replace function executor.promote(p_limit integer default 1000)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  -- As a constant it bounds the walk along the index; as a volatile call it would filter all of it.
  v_now timestamptz := clock_timestamp();
  v_ids uuid[];
begin
  with due as (
    select c.id
    from executor.commands c
    where c.status = 'SCHEDULED' and c.run_at <= v_now
    order by c.run_at
    limit p_limit
    for update skip locked
  )
  select array_agg(id) into v_ids from due;
  if v_ids is null then
    return 0;
  end if;

  update executor.commands c
  set status = 'PENDING', updated_at = clock_timestamp()
  where c.id = any (v_ids);
  perform executor.offer(v_ids);
  return cardinality(v_ids);
end
$$;
comment on function executor.promote(integer) is
  'Moves deferred commands whose time has come into the queue; answers how many.';
