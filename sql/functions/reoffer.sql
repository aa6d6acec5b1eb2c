-- Takes running commands back from a session and puts them into the queue again, as if untouched.
--
-- Closes each attempt with p_outcome (released, lost or unstarted). p_claims: [{"id", "attempt"}];
-- what that session no longer owns is left alone. Answers the commands that went back.
--
-- Lock order: tickets, then commands, ids ascending.
create or replace function executor.reoffer(
  p_session uuid,
  p_claims jsonb,
  p_outcome executor.attempt_outcome
)
returns setof uuid
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_ids uuid[];
  v_offered uuid[];
begin
  v_ids := array(select (claim ->> 'id')::uuid from jsonb_array_elements(p_claims) as claim);
  perform executor.lock_tickets(v_ids);

  with claim as (
    select (claim ->> 'id')::uuid as id, (claim ->> 'attempt')::integer as attempt
    from jsonb_array_elements(p_claims) as claim
    order by 1
  ),
  held as (
    select c.id, c.attempt, c.agent_id, c.session, c.started_at
    from claim
    join executor.commands c on c.id = claim.id
    where c.id = any (v_ids)
      and c.status::text = 'RUNNING'
      and c.attempt = claim.attempt
      and c.session = p_session
    order by c.id
    for update of c
  ),
  closed as (
    insert into executor.attempts
      (command_id, attempt, agent_id, session, started_at, finished_at, outcome)
    select id, attempt, agent_id, session, started_at, clock_timestamp(), p_outcome
    from held
  ),
  back as (
    update executor.commands c
    set
      status = 'PENDING',
      agent_id = null,
      session = null,
      claim_no = null,
      started_at = null,
      deadline_at = null,
      updated_at = clock_timestamp()
    from held
    where c.id = held.id and c.id = any (v_ids)
    returning c.id
  )
  select array_agg(id order by id) into v_offered from back;

  if v_offered is not null then
    perform executor.offer(v_offered);
  end if;
  return query select unnest(v_offered);
end
$$;
comment on function executor.reoffer(uuid, jsonb, executor.attempt_outcome) is
  'Internal: takes running commands back from a session and offers them again.';
