-- For people in psql: select executor.retry_command('…');
--
-- Errors: ZX008 it has not FAILED and was not CANCELLED, ZX009 there is no such command.
create or replace function executor.retry_command(p_id uuid, p_new_id uuid default null)
returns uuid
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_retried record;
begin
  select * into v_retried
  from executor.retry_commands(
    array[p_id], p_once => false, p_new_ids => array[coalesce(p_new_id, executor.uuid_v7())]
  );
  if v_retried.answer = 'unknown' then
    raise exception 'there is no command %', p_id using errcode = 'ZX009';
  elsif v_retried.answer = 'not_failed' then
    raise exception 'command % has not failed and was not cancelled', p_id using errcode = 'ZX008';
  end if;
  return v_retried.new_id;
end
$$;
comment on function executor.retry_command(uuid, uuid) is
  'Repeats a command that FAILED or was CANCELLED as a new one, whose id it answers.';
