-- What a statement about a single command spends its time on: functions called by functions.

-- The signature of this one has grown: it now does itself what start_attempts() did.
drop function if exists executor.claim(text, uuid, bigint, text[], text[], integer, integer);
drop function if exists executor.start_attempts(uuid[], text, uuid, bigint);
delete from executor.definitions where name = 'functions/start_attempts.sql';
