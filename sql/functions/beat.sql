-- An agent's sign of life, and what it should know.
--
-- p_running: [{"id", "attempt"}] of every attempt that the agent runs or has yet to report.
-- p_settled_claim_no: the highest claim number below which no claim's reply is outstanding. A RUNNING
-- command of this session with such a number that the agent does not run was never started (the
-- claim's reply was lost): it goes back as unstarted. Comparing the lists alone would race with
-- claims in flight.
--
-- Answers: superseded (a newer process has this agent's id: stop), revoked (commands that the agent
-- runs but no longer owns: abort them), ready (work waits in one of its queues: claim).
create or replace function executor.beat(
  p_agent_id text,
  p_session uuid,
  p_running jsonb,
  p_settled_claim_no bigint,
  p_queues text[]
)
returns table (superseded boolean, revoked uuid[], ready boolean)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_unstarted jsonb;
begin
  update executor.agents
  set beat_at = clock_timestamp(), signed_off_at = null
  where id = p_agent_id and session = p_session;
  superseded := not found;

  if not superseded then
    select jsonb_agg(jsonb_build_object('id', c.id, 'attempt', c.attempt))
    into v_unstarted
    from executor.commands c
    where c.agent_id = p_agent_id
      and c.session = p_session
      and c.status = 'RUNNING'
      and c.claim_no <= p_settled_claim_no
      and not p_running @> jsonb_build_array(jsonb_build_object('id', c.id, 'attempt', c.attempt));
    if v_unstarted is not null then
      perform executor.reoffer(p_session, v_unstarted, 'unstarted');
    end if;
  end if;

  revoked := array(
    select (claim ->> 'id')::uuid
    from jsonb_array_elements(p_running) as claim
    where not exists (
      select
      from executor.commands c
      where c.id = (claim ->> 'id')::uuid
        and c.attempt = (claim ->> 'attempt')::integer
        and c.session = p_session
        and (c.status = 'RUNNING' or c.finished_at is not null)
    )
  );

  ready := exists (
    select
    from unnest(p_queues) as queue (name)
    cross join lateral (
      select
      from executor_queue.job t
      where t.name = queue.name and t.state < 'active' and not t.blocked
      limit 1
    ) as waiting
  );
  return next;
end
$$;
comment on function executor.beat(text, uuid, jsonb, bigint, text[]) is
  'An agent''s sign of life; answers whether it is superseded, what it lost, and whether work waits.';
