-- Commands whose ledger row and ticket disagree; empty at all times.
--
-- PENDING has a ticket, everything else none. It reads every PENDING command: about a second at a million.
create or replace view executor.ledger_queue_mismatch as
select
  coalesce(live.id, ticket.id) as command_id,
  coalesce(live.lane, ticket.name) as lane,
  coalesce(live.status, done.status) as status,
  ticket.state::text as ticket_state
from (
  select id, lane, status from executor.commands where status = 'PENDING'
) as live
full join executor_queue.job as ticket on ticket.name = live.lane and ticket.id = live.id
left join executor.commands as done on live.id is null and done.id = ticket.id
where
  live.id is null
  or ticket.id is null
  or ticket.state::text <> 'created';
comment on view executor.ledger_queue_mismatch is
  'Commands whose ledger row and queue ticket disagree; empty at all times.';
