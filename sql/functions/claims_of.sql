-- What a session runs, as [{"id", "attempt"}]; null when it runs nothing.
create or replace function executor.claims_of(p_agent_id text, p_session uuid)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
  select jsonb_agg(jsonb_build_object('id', c.id, 'attempt', c.attempt))
  from executor.commands c
  where c.agent_id = p_agent_id and c.session = p_session and c.status = 'RUNNING'
$$;
comment on function executor.claims_of(text, uuid) is
  'Internal: what a session runs, as [{"id", "attempt"}].';
