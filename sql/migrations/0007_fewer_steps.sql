-- What a statement about a single command spends its time on: functions called by functions.

-- The signature of this one has grown: it now does itself what start_attempts() did.
drop function if exists executor.claim(text, uuid, bigint, text[], text[], integer, integer);
drop function if exists executor.start_attempts(uuid[], text, uuid, bigint);
delete from executor.definitions where name = 'functions/start_attempts.sql';

-- Under full load these two gather a million dead rows within a minute or two. At its usual pace autovacuum takes
-- minutes over them, in which as many come anew.
alter table executor.commands set (autovacuum_vacuum_cost_limit = 2000);
alter table executor_queue.job_common set (autovacuum_vacuum_cost_limit = 2000);
