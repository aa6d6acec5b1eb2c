-- The scheduled SQL: observe, then promote, send on, unblock, recover, repair, purge and drop lanes, each in
-- a transaction of its own, so that one bad row does not stop the rest, and that the stamp "I ran" stands
-- whatever follows.
--
-- Anybody may call it as often as they like: one runs at a time (a try lock), the others return at
-- once. Repair and purge, which are never urgent, run in the first tick of a second only, and lanes are
-- dropped in the first of a minute.
--
-- Answers when the next deferred command is due (null: none within a day) and the database's time, so
-- that the caller can tell how long to wait, whatever its own clock says. A time in the past means: tick
-- again soon, for there was more than one tick promotes or unblocks, or somebody else is ticking. What
-- is due and stays (its row, or its key, is locked) is not answered: it waits for the next regular tick.
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
  -- In rounds, a transaction each: what a transaction locks in the lock table has to stay few.
  c_most_rounds constant integer := 40;
  c_keys_a_round constant integer := 50;
  v_step text;
  v_is_new_second boolean;
  v_is_new_minute boolean;
  -- What was due by then has been promoted.
  v_promoted_to timestamptz := 'epoch';
  v_contended_to bigint;
  v_is_more boolean := false;
begin
  select
    pg_catalog.date_trunc('second', ticked_at) < pg_catalog.date_trunc('second', pg_catalog.now()),
    pg_catalog.date_trunc('minute', ticked_at) < pg_catalog.date_trunc('minute', pg_catalog.now())
  into v_is_new_second, v_is_new_minute
  from executor.clock;
  <<steps>>
  foreach v_step in array array[
    'observe', 'promote', 'send_on', 'unblock_contended', 'recover', 'repair', 'purge', 'drop_lanes'
  ] loop
    continue when v_step in ('repair', 'purge') and not v_is_new_second;
    continue when v_step = 'drop_lanes' and not v_is_new_minute;
    for v_round in 1..c_most_rounds loop
      exit steps when not pg_catalog.pg_try_advisory_xact_lock(7018969161888561254);
      begin
        if v_step = 'promote' then
          v_promoted_to := pg_catalog.clock_timestamp();
          if executor.promote(c_most) = c_most then
            v_promoted_to := 'epoch';
          end if;
        elsif v_step = 'unblock_contended' then
          if v_round = 1 then
            v_contended_to := (select id from executor.contended_keys order by id desc limit 1);
          end if;
          v_is_more := executor.unblock_contended(v_contended_to, c_keys_a_round) = c_keys_a_round;
        else
          execute pg_catalog.format('select executor.%I()', v_step);
        end if;
      exception when others then
        v_is_more := false;
        raise warning 'agent-executor: % failed: %', v_step, sqlerrm;
      end;
      commit;
      exit when v_step <> 'unblock_contended' or not v_is_more;
    end loop;
  end loop;

  -- Not min(), for which all of them may be read.
  select c.run_at
  into next_due_at
  from executor.commands c
  where c.status = 'SCHEDULED'
    and c.run_at > v_promoted_to
    and c.run_at < pg_catalog.now() + interval '1 day'
  order by c.run_at
  limit 1;
  select least(next_due_at, home.home_until)
  into next_due_at
  from (select) as always
  left join (
    select c.home_until
    from executor.commands c
    where c.home_until > pg_catalog.now() and c.started_at is null and c.finished_at is null
    order by c.home_until
    limit 1
  ) as home on true;
  -- A session lock is missing: when its grace is over is a time to look again, too.
  select least(next_due_at, min(a.unlocked_at + settings.unlocked_grace))
  into next_due_at
  from executor.agents a
  cross join executor.settings settings
  where a.lost_at is null
    and a.signed_off_at is null
    and a.unlocked_at + settings.unlocked_grace > pg_catalog.clock_timestamp();
  answered_at := pg_catalog.clock_timestamp();
  if v_is_more then
    next_due_at := answered_at;
  end if;
end
$$;
comment on procedure executor.tick(timestamptz, timestamptz) is
  'Runs what is due: promote, unblock, recover, repair, purge. Answers when to run it next, at the latest '
  'within a second, and the time now.';
