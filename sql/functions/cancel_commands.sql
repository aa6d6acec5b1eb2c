-- Cancels commands, for people. What waits is CANCELLED at once. What runs gets a request, which its agent
-- hears of at once (NOTIFY) or at its next beat, and ends; recovery does if the agent is gone.
--
-- Answers, per id and in order:
--   cancelled   it is CANCELLED now
--   requested   it runs: it will be, unless it completes first
--   done        it had ended before; nothing changed
--   unknown     there is no such command
--
-- For many: select * from executor.cancel_commands(array(select id from executor.commands where …));
--
-- Lock order: tickets, then commands, ids ascending. A ticket that has come since is looked for with
-- SKIP LOCKED: one that is taken means that a claim is in flight, which finds the request.
create or replace function executor.cancel_commands(p_ids uuid[])
returns table (command_id uuid, answer text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  v_id uuid;
  v_command executor.commands;
  v_requested uuid[] := '{}';
  v_cancelled uuid[] := '{}';
begin
  perform executor.lock_tickets(p_ids);
  for v_id in select distinct unnest(p_ids) as id order by 1 loop
    select * into v_command
    from executor.commands c
    where c.id = v_id and c.finished_at is null
    for no key update;
    continue when not found;

    perform
    from executor_queue.job t
    where t.name = v_command.lane and t.id = v_id
    for update skip locked;
    if v_command.status = 'RUNNING' or (
      v_command.status = 'PENDING' and not found
      and exists (select from executor_queue.job t where t.name = v_command.lane and t.id = v_id)
    ) then
      update executor.commands c
      set
        cancel_requested_at = coalesce(c.cancel_requested_at, clock_timestamp()),
        updated_at = clock_timestamp()
      where c.id = v_id;
      v_requested := v_requested || v_id;
    else
      delete from executor_queue.job t where t.name = v_command.lane and t.id = v_id;
      update executor.commands c
      set
        status = 'CANCELLED',
        cancel_requested_at = coalesce(c.cancel_requested_at, clock_timestamp()),
        finished_at = clock_timestamp(),
        updated_at = clock_timestamp()
      where c.id = v_id;
      v_cancelled := v_cancelled || v_id;
    end if;
  end loop;

  perform executor.hand_on_keys(v_cancelled);
  -- Also when it had been asked before: that may not have been heard.
  if v_requested <> '{}' then
    perform pg_notify('executor_cancel', executor.payload_of(v_requested));
  end if;
  perform executor.announce_changes(v_cancelled || v_requested);

  return query
    select
      wanted.id,
      case
        when wanted.id = any (v_cancelled) then 'cancelled'
        when wanted.id = any (v_requested) then 'requested'
        when exists (select from executor.commands c where c.id = wanted.id) then 'done'
        else 'unknown'
      end
    from unnest(p_ids) with ordinality as wanted (id, ordinal)
    order by wanted.ordinal;
end
$$;
comment on function executor.cancel_commands(uuid[]) is
  'Cancels commands; answers cancelled, requested (it runs), done or unknown for each: select * from '
  'executor.cancel_commands(array(select id from executor.commands where type = ''DELAY''));';
