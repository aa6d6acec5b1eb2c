-- The scheduled SQL: observe, then promote, recover and repair, each in a transaction of its own, so that
-- one bad row does not stop the rest, and that the stamp "I ran" stands whatever follows.
--
-- Anybody may call it as often as they like: one runs at a time (a try lock), the others return at
-- once. Repair, which is the dear one and never urgent, runs in the first tick of a second only.
--
-- Answers when the next deferred command is due (null: none within a day) and the database's time, so
-- that the caller can tell how long to wait, whatever its own clock says. A time in the past means: tick
-- again soon, for there was more than one tick promotes, or somebody else is ticking. What is due and
-- stays (its row is locked) is not answered: it waits for the next regular tick.
--
--   call executor.tick(null);
create or replace procedure executor.tick(
  inout next_due_at timestamptz,
  inout answered_at timestamptz default null
)
language plpgsql
as $$
declare
  c_most constant integer := 1000;
  v_step text;
  v_is_new_second boolean;
  -- What was due by then has been promoted.
  v_promoted_to timestamptz := 'epoch';
begin
  select pg_catalog.date_trunc('second', ticked_at) < pg_catalog.date_trunc('second', pg_catalog.now())
  into v_is_new_second
  from executor.clock;
  foreach v_step in array array['observe', 'promote', 'recover', 'repair'] loop
    continue when v_step = 'repair' and not v_is_new_second;
    exit when not pg_catalog.pg_try_advisory_xact_lock(7018969161888561254);
    begin
      if v_step = 'promote' then
        v_promoted_to := pg_catalog.clock_timestamp();
        if executor.promote(c_most) = c_most then
          v_promoted_to := 'epoch';
        end if;
      else
        execute pg_catalog.format('select executor.%I()', v_step);
      end if;
    exception when others then
      raise warning 'agent-executor: % failed: %', v_step, sqlerrm;
    end;
    commit;
  end loop;

  select min(c.run_at)
  into next_due_at
  from executor.commands c
  where c.status = 'SCHEDULED'
    and c.run_at > v_promoted_to
    and c.run_at < pg_catalog.now() + interval '1 day';
  -- A session lock is missing: when its grace is over is a time to look again, too.
  select least(next_due_at, min(a.unlocked_at + settings.unlocked_grace))
  into next_due_at
  from executor.agents a
  cross join executor.settings settings
  where a.lost_at is null
    and a.signed_off_at is null
    and a.unlocked_at + settings.unlocked_grace > pg_catalog.clock_timestamp();
  answered_at := pg_catalog.clock_timestamp();
end
$$;
comment on procedure executor.tick(timestamptz, timestamptz) is
  'Runs what is due: promote, recover, repair. Answers when to run it next, at the latest within a '
  'second, and the time now.';
