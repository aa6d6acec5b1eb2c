-- Every agent with what it does now.
--
-- idle and busy by what the ledger says it runs; draining: it claims no more, and finishes what it runs;
-- lost: silent, or its process is gone; gone: it said goodbye.
create or replace view executor.agent_states as
select
  a.id,
  case
    when a.signed_off_at is not null then 'gone'
    when a.lost_at is not null then 'lost'
    when a.draining or a.drain_requested_at is not null then 'draining'
    when owned.running > 0 then 'busy'
    else 'idle'
  end as state,
  owned.running,
  a.concurrency,
  a.beat_at,
  a.registered_at,
  a.lost_at,
  a.signed_off_at,
  a.session,
  a.host,
  a.pid,
  a.version,
  a.queues,
  a.types,
  a.beats,
  a.drain_requested_at
from executor.agents a
cross join lateral (
  select count(*)::integer as running
  from executor.commands c
  where c.status = 'RUNNING' and c.agent_id = a.id and c.session = a.session
) as owned;
comment on view executor.agent_states is
  'Every agent with its state (idle, busy, draining, lost or gone) and how many commands it runs.';
