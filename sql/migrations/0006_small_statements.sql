-- What a statement that changes a single row spends its time on, beside the row: opening, locking and asking
-- each index of the table.

-- Those of pg-boss for queues of other policies than lanes have, and for what tickets are not used for.
drop index if exists
  executor_queue.job_common_i1,
  executor_queue.job_common_i2,
  executor_queue.job_common_i3,
  executor_queue.job_common_i4,
  executor_queue.job_common_i6,
  executor_queue.job_common_i7,
  executor_queue.job_common_i8,
  executor_queue.job_common_i9,
  executor_queue.job_common_i10,
  executor_queue.job_common_i12;
