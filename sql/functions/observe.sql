-- Advances the clock of observed time: the first step of every tick.
--
-- Silence and lateness must not be found where nobody watched: after a gap of over 6 s, or in a new run
-- of the server (whose session locks are all gone), watching starts anew.
create or replace function executor.observe()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_is_new_run boolean;
begin
  insert into executor.incarnation as known (postmaster_started_at)
  values (pg_postmaster_start_time())
  on conflict (one) do update
  set postmaster_started_at = excluded.postmaster_started_at
  where known.postmaster_started_at <> excluded.postmaster_started_at;
  v_is_new_run := found;

  if v_is_new_run then
    update executor.agents set unlocked_at = null where unlocked_at is not null;
  end if;

  update executor.clock as clock
  set
    observed_ms = executor.observed_ms(),
    watching_since = case
      when v_is_new_run or v_now > clock.ticked_at + interval '6 seconds' then v_now
      else clock.watching_since
    end,
    ticked_at = greatest(v_now, clock.ticked_at);
end
$$;
comment on function executor.observe() is 'Internal: advances the clock of observed time.';
