-- Looks again at the concurrency keys that two transactions looked at at once, or that were too many for
-- one: at p_limit of those that came up to p_last. Answers at how many.
--
-- One that is still locked goes to the end of the queue, beyond p_last.
create or replace function executor.unblock_contended(p_last bigint, p_limit integer default 50)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_keys text[];
begin
  with looked_at as (
    delete from executor.contended_keys
    where id = any (array(
      select id
      from executor.contended_keys
      where id <= p_last
      order by id
      limit p_limit
      for update skip locked
    ))
    returning concurrency_key
  )
  select array_agg(concurrency_key) into v_keys from looked_at;
  perform executor.unblock(v_keys, p_announce => false);
  return coalesce(cardinality(v_keys), 0);
end
$$;
comment on function executor.unblock_contended(bigint, integer) is
  'Looks again at concurrency keys that were contended, up to an id; answers at how many.';
