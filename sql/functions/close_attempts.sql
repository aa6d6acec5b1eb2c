-- Takes running commands back from a session; what follows is for end_attempt() to say.
--
-- p_claims: [{"id", "attempt", "started"?}]; what that session no longer owns is left alone. What was not
-- started (false) is closed as unstarted, whatever the outcome of the others. Answers the commands whose
-- attempt was closed.
--
-- Lock order: commands, ids ascending.
create or replace function executor.close_attempts(
  p_session uuid,
  p_claims jsonb,
  p_outcome executor.attempt_outcome,
  p_counts boolean default true
)
returns setof uuid
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_claim record;
  v_closed uuid[] := '{}';
begin
  for v_claim in
    select distinct on (1, 2)
      (claim ->> 'id')::uuid as id,
      (claim ->> 'attempt')::integer as attempt,
      coalesce((claim ->> 'started')::boolean, true) as started
    from jsonb_array_elements(p_claims) as claim
    order by 1, 2
  loop
    perform
    from executor.commands c
    where c.id = v_claim.id
      and c.attempt = v_claim.attempt
      and c.session = p_session
      and c.status::text = 'RUNNING'
    for no key update;
    if found then
      perform executor.end_attempt(
        v_claim.id, case when v_claim.started then p_outcome else 'unstarted' end, null, p_counts
      );
      v_closed := v_closed || v_claim.id;
      return next v_claim.id;
    end if;
  end loop;
  perform executor.hand_on_keys(v_closed);
  perform executor.announce_changes(v_closed);
end
$$;
comment on function executor.close_attempts(uuid, jsonb, executor.attempt_outcome, boolean) is
  'Internal: takes running commands back from a session.';
