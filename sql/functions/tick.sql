-- The scheduled SQL: observe, then promote, recover and repair, each in a transaction of its own, so that
-- one bad row does not stop the rest, and that the stamp "I ran" stands whatever follows.
--
-- Anybody may call it as often as they like: one runs at a time (a try lock), the others return at
-- once. Answers when the next deferred command is due; null when none is known, or somebody else ticks.
--
--   call executor.tick(null);
create or replace procedure executor.tick(inout next_due_at timestamptz)
language plpgsql
as $$
declare
  v_step text;
begin
  next_due_at := null;
  foreach v_step in array array['observe', 'promote', 'recover', 'repair'] loop
    if not pg_catalog.pg_try_advisory_xact_lock(7018969161888561254) then
      return;
    end if;
    begin
      execute pg_catalog.format('select executor.%I()', v_step);
    exception when others then
      raise warning 'agent-executor: % failed: %', v_step, sqlerrm;
    end;
    commit;
  end loop;

  select c.run_at
  into next_due_at
  from executor.commands c
  where c.status = 'SCHEDULED'
  order by c.run_at
  limit 1;
end
$$;
comment on procedure executor.tick(timestamptz) is
  'Runs what is due: promote, recover, repair. Answers when the next deferred command is due.';
