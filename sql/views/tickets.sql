-- The tickets: each says that its command may be claimed. A ticket is a pg-boss job with the command's id and
-- no data, in the table that pg-boss keeps those of such queues in, not the partitioned one above it.
--
-- What is not said of a new one tells pg-boss's own upkeep, should anybody ever run it, to leave it alone.
create or replace view executor.tickets as
select
  id,
  name as lane,
  priority,
  created_on as ready_at,
  policy,
  state,
  retry_limit,
  expire_seconds,
  start_after,
  keep_until
from executor_queue.job_common;

alter view executor.tickets
  alter column policy set default 'standard',
  alter column state set default 'created',
  alter column retry_limit set default 0,
  alter column expire_seconds set default 2147483647,
  alter column start_after set default '-infinity',
  alter column keep_until set default 'infinity';

comment on view executor.tickets is
  'Commands that may be claimed now, by lane; the higher priority first, then what was ready first.';
