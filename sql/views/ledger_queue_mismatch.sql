-- Commands whose ledger row and ticket disagree; empty at all times.
--
-- PENDING has a created ticket, RUNNING an active one, everything else none. It reads every live
-- command: about a second at a million waiting.
create or replace view executor.ledger_queue_mismatch as
select
  coalesce(live.id, ticket.id) as command_id,
  coalesce(live.lane, ticket.name) as lane,
  coalesce(live.status, done.status) as status,
  ticket.state::text as ticket_state
from (
  select id, lane, status from executor.commands where status in ('PENDING', 'RUNNING')
) as live
full join executor_queue.job as ticket on ticket.name = live.lane and ticket.id = live.id
left join executor.commands as done on live.id is null and done.id = ticket.id
where
  live.id is null
  or ticket.id is null
  or ticket.state::text <> case live.status when 'PENDING' then 'created' else 'active' end;
comment on view executor.ledger_queue_mismatch is
  'Commands whose ledger row and queue ticket disagree; empty at all times.';
