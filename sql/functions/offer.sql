-- Puts PENDING commands into the queue and wakes agents: one ticket each, one NOTIFY a queue.
create or replace function executor.offer(p_ids uuid[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_queue text;
begin
  for v_queue in select distinct queue from executor.write_tickets(p_ids) as queue loop
    perform pg_notify('executor_work', v_queue);
  end loop;
end
$$;
comment on function executor.offer(uuid[]) is
  'Internal: writes the tickets of commands that have just become PENDING, and wakes agents.';
