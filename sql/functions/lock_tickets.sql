-- Locks the tickets of commands, ids ascending: the first step of whatever changes running commands.
--
-- One lock order everywhere: agents, then tickets, then commands, ids ascending. Claiming takes the
-- ticket first, so everyone does.
create or replace function executor.lock_tickets(p_ids uuid[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_queues text[];
begin
  v_queues := array(select distinct c.queue from executor.commands c where c.id = any (p_ids));
  perform
  from executor_queue.job t
  where t.name = any (v_queues) and t.id = any (p_ids)
  order by t.id
  for update;
end
$$;
comment on function executor.lock_tickets(uuid[]) is
  'Internal: locks the tickets of these commands, ids ascending.';
