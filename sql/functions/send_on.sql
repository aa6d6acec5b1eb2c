-- Offers to everybody the retries that have waited for the agent that ran them for long enough. Answers
-- how many.
--
-- Lock order: the ticket, then the command; whatever another session has locked is being claimed.
create or replace function executor.send_on(p_limit integer default 1000)
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
  v_retry record;
  v_sent uuid[] := '{}';
begin
  for v_retry in
    select c.id, c.lane, c.queue, c.type
    from executor.commands c
    where c.home_until <= v_now and c.started_at is null and c.finished_at is null
    order by c.home_until
    limit p_limit
  loop
    perform
    from executor_queue.job t
    where t.name = v_retry.lane and t.id = v_retry.id and t.state < 'active'
    for update skip locked;
    continue when not found;
    update executor.commands c
    set lane = executor.lane_of(v_retry.queue, v_retry.type), home_until = null
    where c.id = v_retry.id and c.lane = v_retry.lane and c.status::text = 'PENDING';
    continue when not found;
    -- It is written anew, with the time since when it is ready, and so in its old place.
    delete from executor_queue.job t where t.name = v_retry.lane and t.id = v_retry.id;
    v_sent := v_sent || v_retry.id;
  end loop;
  if v_sent <> '{}' then
    perform executor.offer(v_sent);
  end if;
  return cardinality(v_sent);
end
$$;
comment on function executor.send_on(integer) is
  'Offers to everybody the retries that have waited for the agent that ran them; answers how many.';
