-- Takes the tickets of commands out of the queue; the caller has locked them.
--
-- One by one: in a statement over all of them, a planner that saw the queue empty would read it whole.
create or replace function executor.withdraw(p_ids uuid[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_command record;
begin
  for v_command in
    select c.id, c.queue from executor.commands c where c.id = any (p_ids)
  loop
    delete from executor_queue.job t where t.name = v_command.queue and t.id = v_command.id;
  end loop;
end
$$;
comment on function executor.withdraw(uuid[]) is
  'Internal: takes the tickets of these commands out of the queue.';
