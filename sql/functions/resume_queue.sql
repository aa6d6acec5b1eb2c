-- Resumes a paused queue and wakes its agents. Answers whether there is such a queue.
create or replace function executor.resume_queue(p_name text)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  update executor.queues set paused_at = null where name = p_name;
  if not found then
    return false;
  end if;
  perform pg_notify('executor_work', concat_ws(' ', l.queue, l.type, nullif(l.agent_id, '')))
  from executor.lanes l
  where l.queue = p_name
    and exists (
      select
      from executor_queue.job_common t
      where t.name = l.name and t.state < 'active' and not t.blocked
      limit 1
    );
  return true;
end
$$;
comment on function executor.resume_queue(text) is
  'Resumes a paused queue. Answers whether there is such a queue.';
