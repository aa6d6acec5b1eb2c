-- Gives an agent again what it has just lost by restarting, as far as that is ready: new attempts of the
-- same commands. Answers [{"id", "attempt"}].
--
-- The caller's transaction closed their attempts, so that it wrote their tickets: nobody else can have taken
-- them. What is in its home lane, or was cancelled or is out of attempts by now, is not given.
create or replace function executor.reclaim(
  p_agent_id text,
  p_session uuid,
  p_claim_no bigint,
  p_ids uuid[],
  p_limit integer
)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_ids uuid[];
  v_id uuid;
begin
  v_ids := array(
    select c.id
    from executor.commands c
    where c.id = any (p_ids) and c.status::text = 'PENDING'
    order by c.id
    limit p_limit
  );
  foreach v_id in array v_ids loop
    delete from executor_queue.job t
    where t.name = (select c.lane from executor.commands c where c.id = v_id) and t.id = v_id;
  end loop;
  return (
    select coalesce(jsonb_agg(jsonb_build_object('id', started.id, 'attempt', started.attempt)), '[]')
    from executor.claim(
      p_agent_id, p_session, p_claim_no, '{}', '{}', p_limit, p_taken => v_ids
    ) as started
  );
end
$$;
comment on function executor.reclaim(text, uuid, bigint, uuid[], integer) is
  'Internal: gives an agent again what it has just lost by restarting.';
