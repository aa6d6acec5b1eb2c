-- What the clock of observed time shows now, in ms.
--
-- Between ticks it runs on, but never further than one tick may take it: see executor.clock.
create or replace function executor.observed_ms()
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select
    clock.observed_ms + case
      when isfinite(clock.ticked_at)
      then extract(epoch from least(
        greatest(clock_timestamp() - clock.ticked_at, interval '0'),
        interval '6 seconds',
        settings.lost_after / 2
      )) * 1000
      else 0
    end::bigint
  from executor.clock as clock
  cross join executor.settings as settings
$$;
comment on function executor.observed_ms() is 'What the clock of observed time shows now, in ms.';
