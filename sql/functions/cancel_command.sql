-- For people in psql: select executor.cancel_command('…');
create or replace function executor.cancel_command(p_id uuid)
returns text
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select answer from executor.cancel_commands(array[p_id])
$$;
comment on function executor.cancel_command(uuid) is
  'Cancels one command; answers cancelled, requested (it runs: its agent ends it), done or unknown.';
