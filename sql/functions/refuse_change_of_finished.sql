-- What is done stays as it is: not even psql changes a finished command.
--
-- After the update, which it undoes: a trigger before it would lock every row that anybody changes once more.
create or replace function executor.refuse_change_of_finished()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'command % is % and stays as it is', old.id, old.status using errcode = 'ZX005';
end
$$;
comment on function executor.refuse_change_of_finished() is
  'Trigger: a finished command never changes (it may be deleted as a whole).';

create or replace trigger commands_finished_are_immutable
after update on executor.commands
for each row
when (old.status in ('COMPLETED', 'FAILED', 'CANCELLED'))
execute function executor.refuse_change_of_finished();
