-- Tells whoever promotes that something is due at a time that it may not know of yet.
create or replace function executor.announce_due(p_run_at timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select pg_notify('executor_due', extract(epoch from p_run_at)::text)
$$;
comment on function executor.announce_due(timestamptz) is
  'Internal: NOTIFY executor_due with the time (in seconds since 1970) at which a command is due.';
