-- Puts PENDING commands into the queue and wakes agents: one ticket each, one NOTIFY a queue.
--
-- A ticket is a pg-boss job with the command's id and no data. Its columns tell pg-boss's own upkeep,
-- should anybody ever run it, to leave it alone. created_on is when the command became ready: first
-- ready, first out. A command that comes back (its ticket is still there) keeps its place.
create or replace function executor.offer(p_ids uuid[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_queue text;
begin
  insert into executor_queue.job
    (id, name, priority, policy, state, retry_limit, expire_seconds, start_after, created_on, keep_until)
  select
    c.id, c.queue, c.priority, 'standard', 'created', 0, 2147483647, '-infinity', c.updated_at, 'infinity'
  from executor.commands c
  where c.id = any (p_ids) and c.status = 'PENDING'
  order by c.updated_at
  on conflict (name, id) do update set state = 'created', started_on = null;

  for v_queue in
    select distinct c.queue from executor.commands c where c.id = any (p_ids)
  loop
    perform pg_notify('executor_work', v_queue);
  end loop;
end
$$;
comment on function executor.offer(uuid[]) is
  'Internal: writes the tickets of commands that have just become PENDING, and wakes agents.';
