-- Completions by the attempts' owners; all else is left as it is. p_ids ascending, each once; the others in the
-- same order. Answers which commands are completed, and the concurrency keys of these.
--
-- Statistics must not matter: to a planner that saw the index of running commands empty, reading all of it
-- looks cheaper than looking up. So there is no join whose order it could get wrong (width_bucket() finds a
-- command's report in sorted arrays), and status::text keeps it from that index.
create or replace function executor.complete_attempts(
  p_ids uuid[],
  p_attempts integer[],
  p_sessions uuid[],
  p_results jsonb[],
  out completed uuid[],
  out concurrency_keys text[]
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  with completion as (
    update executor.commands c
    set
      status = 'COMPLETED',
      result = p_results[width_bucket(c.id, p_ids)],
      finished_at = clock_timestamp(),
      updated_at = clock_timestamp()
    where c.id = any (p_ids)
      -- Not so if they do not ascend.
      and c.id = p_ids[width_bucket(c.id, p_ids)]
      and c.status::text = 'RUNNING'
      and c.attempt = p_attempts[width_bucket(c.id, p_ids)]
      and c.session = p_sessions[width_bucket(c.id, p_ids)]
    returning c.id, c.concurrency_key
  )
  select
    coalesce(array_agg(id), '{}'),
    array_agg(concurrency_key) filter (where concurrency_key is not null)
  into completed, concurrency_keys
  from completion;
end
$$;
comment on function executor.complete_attempts(uuid[], integer[], uuid[], jsonb[]) is
  'Internal: completes what is reported by the attempts'' owners.';
