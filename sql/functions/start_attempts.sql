-- Gives PENDING commands, whose tickets the caller has just taken, to an agent's session.
--
-- In the order in which to execute them: first what may not wait for a slot (see claim()).
--
-- `status = 'PENDING'` is essential: without it a stray ticket would revive a finished command.
create or replace function executor.start_attempts(
  p_ids uuid[],
  p_agent_id text,
  p_session uuid,
  p_claim_no bigint
)
returns table (
  id uuid,
  type text,
  payload jsonb,
  attempt integer,
  timeout_ms double precision,
  cancel_requested boolean
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
begin
  return query
    with started as (
      update executor.commands c
      set
        status = 'RUNNING',
        attempt = c.attempt + 1,
        agent_id = p_agent_id,
        session = p_session,
        claim_no = p_claim_no,
        started_at = clock_timestamp(),
        deadline_at = clock_timestamp() + c.timeout,
        updated_at = clock_timestamp()
      where c.id = any (p_ids) and c.status::text = 'PENDING'
      returning c.*
    )
    select
      s.id,
      s.type,
      s.payload::jsonb,
      s.attempt,
      (extract(epoch from s.timeout) * 1000)::double precision,
      s.cancel_requested_at is not null
    from started s
    order by (s.delivery = 'at_most_once' or s.losses > 0) desc, s.priority desc, s.id;
  perform executor.announce_changes(p_ids);
end
$$;
comment on function executor.start_attempts(uuid[], text, uuid, bigint) is
  'Internal: gives PENDING commands, whose tickets the caller has taken, to an agent''s session.';
