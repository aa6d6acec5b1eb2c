-- Makes one command's ticket what its row says; answers whether anything had to be done.
--
-- Lock order: the ticket, then the command; whatever another session has locked is left alone.
create or replace function executor.repair_one(p_id uuid)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_lane text;
  v_ticket text;
  v_command executor.commands;
begin
  select lane into v_lane from executor.commands where id = p_id;
  if not found then
    return false;
  end if;
  perform from executor_queue.job where name = v_lane and id = p_id for update skip locked;
  select * into v_command from executor.commands where id = p_id for no key update skip locked;
  if not found then
    return false;
  end if;
  v_lane := v_command.lane;
  -- Again, now that the command stays as it is: one that has come since, or is taken, is a claim's.
  select state::text into v_ticket
  from executor_queue.job
  where name = v_lane and id = p_id
  for update skip locked;
  if not found and exists (select from executor_queue.job where name = v_lane and id = p_id) then
    return false;
  end if;
  if v_ticket is not distinct from (case v_command.status when 'PENDING' then 'created' end) then
    return false;
  end if;

  raise log 'agent-executor: command % is % but its ticket was %',
    p_id, v_command.status, coalesce(v_ticket, 'missing');
  delete from executor_queue.job where name = v_lane and id = p_id;
  if v_command.status = 'PENDING' then
    perform executor.offer(array[p_id]);
  end if;
  return true;
end
$$;
comment on function executor.repair_one(uuid) is
  'Internal: makes one command''s ticket what its row says; answers whether that had to be done.';
