-- The lanes that an agent may claim from: those of its queues that are not paused, of the types that it can
-- carry out (null: all), and its own. None while it is asked to drain. weight: the first queue has twice
-- that of the second, and so on.
--
-- As a body of names that are resolved when it is created, so that it needs no search_path of its own:
-- Postgres makes it part of the statement that calls it.
create or replace function executor.open_lanes(p_agent_id text, p_queues text[], p_types text[])
returns table (lane text, queue text, weight double precision)
language sql
stable
rows 10
begin atomic
  select l.name, l.queue, (2.0 ^ -least(wanted.ordinal, 20))::double precision
  from unnest(p_queues) with ordinality as wanted (queue, ordinal)
  join executor.queues q on q.name = wanted.queue and q.paused_at is null
  join executor.lanes l
    on l.queue = q.name
    and (p_types is null or l.type = any (p_types))
    and l.agent_id = any (array['', p_agent_id])
  where not exists (
    select from executor.agents a where a.id = p_agent_id and a.drain_requested_at is not null
  );
end;
comment on function executor.open_lanes(text, text[], text[]) is
  'Internal: the lanes that an agent may claim from right now.';
