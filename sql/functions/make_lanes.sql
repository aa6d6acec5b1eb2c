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

-- Deleting a queue or a type by hand takes its lanes along, but not what waits in them.
create or replace function executor.refuse_needed_lane()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.agent_id = '' and exists (
    select from executor.commands c where c.lane = old.name and c.finished_at is null
  ) then
    raise exception 'commands of type % in queue % are not done',
      quote_literal(old.type), quote_literal(old.queue)
      using errcode = '23503';
  end if;
  return old;
end
$$;
comment on function executor.refuse_needed_lane() is
  'Trigger: what commands wait in cannot be deleted.';

create or replace trigger lanes_are_needed
before delete on executor.lanes
for each row
execute function executor.refuse_needed_lane();
