-- Every queue has a lane for each type, before anything is submitted to it.
create or replace function executor.make_lanes()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  -- One after the other: a queue and a type that are made at once would each miss the other.
  perform pg_advisory_xact_lock(7018969161888561256);
  if tg_table_name = 'queues' then
    perform executor.lane_of(new.name, t.type) from executor.command_types t order by t.type;
  else
    perform executor.lane_of(q.name, new.type) from executor.queues q order by q.name;
  end if;
  return null;
end
$$;
comment on function executor.make_lanes() is
  'Trigger: makes the lanes of a new queue, or of a new type.';

create or replace trigger queues_have_lanes
after insert on executor.queues
for each row
execute function executor.make_lanes();

create or replace trigger command_types_have_lanes
after insert on executor.command_types
for each row
execute function executor.make_lanes();
