-- What is ready to be claimed, by queue, type and the agent that it is meant for.
--
-- depth counts up to 100,000. is_served: whether a living agent may claim it, once it has a free slot and
-- the queue is not paused; false also while all of those are draining.
create or replace view executor.lane_states as
select
  l.queue,
  l.type,
  nullif(l.agent_id, '') as agent_id,
  waiting.depth,
  waiting.oldest_ready_at,
  exists (
    select
    from executor.agents a
    where a.lost_at is null
      and a.signed_off_at is null
      and not a.draining
      and a.drain_requested_at is null
      and l.queue = any (a.queues)
      and l.type = any (a.types)
      and l.agent_id in ('', a.id)
  ) as is_served
from executor.lanes l
cross join lateral (
  select count(*) as depth, min(first.created_on) as oldest_ready_at
  from (
    select t.created_on
    from executor_queue.job_common t
    where t.name = l.name and t.state < 'active' and not t.blocked
    order by t.priority desc, t.created_on
    limit 100000
  ) as first
) as waiting
where waiting.depth > 0;
comment on view executor.lane_states is
  'How many commands are ready, by queue, type and the agent that they are meant for, and whether any '
  'living agent may claim them.';
