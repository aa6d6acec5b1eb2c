-- Moves deferred commands whose time has come into the queue. Answers how many.
--
-- One with a concurrency key that starts for the first time has to get its key first; one that pauses
-- before a retry has kept it.
--
-- Whatever another session has locked is left for the next time.
--
-- Lock order: lanes, then commands. Who makes a lane may go on to wait for a command.
create or replace function executor.promote(p_limit integer default 1000)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  -- As a constant it bounds the walk along the index; as a volatile call it would filter all of it.
  v_now timestamptz := clock_timestamp();
  v_ids uuid[];
  v_ready uuid[];
  v_blocked text[];
begin
  perform executor.make_homes(v_now, p_limit);
  with due as (
    select c.id
    from executor.commands c
    where c.status = 'SCHEDULED' and c.run_at <= v_now
    order by c.run_at
    limit p_limit
    for no key update skip locked
  )
  select array_agg(id) into v_ids from due;
  if v_ids is null then
    return 0;
  end if;

  with promoted as (
    update executor.commands c
    set
      status = case
        when c.concurrency_key is not null and c.attempt = 0 then 'BLOCKED'::executor.command_status
        else 'PENDING'
      end,
      updated_at = clock_timestamp()
    where c.id = any (v_ids)
    returning c.id, c.status, c.concurrency_key
  )
  select
    array_agg(id) filter (where status = 'PENDING'),
    array_agg(concurrency_key) filter (where status = 'BLOCKED')
  into v_ready, v_blocked
  from promoted;
  if v_ready is not null then
    perform executor.send_home(v_ready);
    perform executor.offer(v_ready);
  end if;
  if v_blocked is not null then
    perform executor.unblock(v_blocked);
  end if;
  perform executor.announce_changes(v_ids);
  return cardinality(v_ids);
end
$$;
comment on function executor.promote(integer) is
  'Moves deferred commands whose time has come into the queue; answers how many.';
