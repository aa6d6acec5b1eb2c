-- Hands the tick to pg_cron, where that extension is installed in this database.
--
-- From pg_cron 1.5 on a job may run every second; below, a minutely one ticks for a minute.
create or replace function executor.schedule_with_pg_cron()
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_version text := (select extversion from pg_extension where extname = 'pg_cron');
begin
  if v_version is null then
    raise exception 'pg_cron is not installed in this database: create extension pg_cron'
      using errcode = 'ZX011';
  end if;
  if string_to_array(split_part(v_version, '-', 1), '.')::integer[] >= array[1, 5] then
    execute $cron$select cron.schedule('agent-executor', '1 second', 'call executor.tick(null)')$cron$;
    return 'every second';
  end if;
  execute $cron$select cron.schedule('agent-executor', '* * * * *', 'call executor.tick_for_a_minute()')$cron$;
  return 'every minute, for a minute';
end
$$;
comment on function executor.schedule_with_pg_cron() is
  'Has pg_cron call tick(), each second: select executor.schedule_with_pg_cron();';

create or replace procedure executor.tick_for_a_minute()
language plpgsql
as $$
declare
  v_end timestamptz := pg_catalog.clock_timestamp() + interval '58 seconds';
  v_due timestamptz;
  v_now timestamptz;
begin
  while pg_catalog.clock_timestamp() < v_end loop
    call executor.tick(v_due, v_now);
    commit;
    perform pg_catalog.pg_sleep(1);
    commit;
  end loop;
end
$$;
comment on procedure executor.tick_for_a_minute() is
  'Ticks each second for a minute: for a pg_cron that cannot run a job more often than that.';
