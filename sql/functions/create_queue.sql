-- Creates a queue; answers whether it is new. Repeating it is harmless.
create or replace function executor.create_queue(p_name text)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into executor.queues (name) values (p_name) on conflict do nothing;
  return found;
end
$$;
comment on function executor.create_queue(text) is
  'Creates a queue that commands may name and agents claim from; answers whether it is new.';
