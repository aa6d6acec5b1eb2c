-- Under full load these two gather a million dead rows within a minute or two. At its usual pace autovacuum takes
-- minutes over them, in which as many come anew.
alter table executor.commands set (autovacuum_vacuum_cost_limit = 2000);
alter table executor_queue.job_common set (autovacuum_vacuum_cost_limit = 2000);

-- Watchers are looked for by announce_changes() alone.
drop view if exists executor.present_watchers;
delete from executor.definitions where name = 'views/present_watchers.sql';
