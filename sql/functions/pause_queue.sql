-- Pauses a queue: nothing of it is claimed until it is resumed. What runs goes on. Answers whether there
-- is such a queue.
create or replace function executor.pause_queue(p_name text)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  update executor.queues
  set paused_at = coalesce(paused_at, clock_timestamp())
  where name = p_name;
  return found;
end
$$;
comment on function executor.pause_queue(text) is
  'Pauses a queue: nothing of it is claimed. Answers whether there is such a queue.';
