-- Every queue with what waits and what runs, and what waits in vain.
--
-- unclaimable: ready commands that no living agent can run, for none claims from their queue, or none of
-- those knows their type, or they are meant for one that is gone. What a pause holds up is not counted.
create or replace view executor.queue_states as
select
  q.name,
  q.paused_at,
  coalesce(ready.depth, 0)::bigint as depth,
  coalesce(ready.unclaimable, 0)::bigint as unclaimable,
  ready.oldest_ready_at,
  coalesce(running.running, 0)::bigint as running,
  q.created_at
from executor.queues q
left join (
  select
    l.queue,
    sum(l.depth) as depth,
    sum(l.depth) filter (where not l.is_served) as unclaimable,
    min(l.oldest_ready_at) as oldest_ready_at
  from executor.lane_states l
  group by l.queue
) as ready on ready.queue = q.name
left join (
  select c.queue, count(*) as running
  from executor.commands c
  where c.status = 'RUNNING'
  group by c.queue
) as running on running.queue = q.name;
comment on view executor.queue_states is
  'Every queue with how many commands wait, since when the oldest does, how many run, and how many no '
  'living agent can run.';
