-- An agent that stops gives back what it did not finish: neither a failure nor a loss. (Under
-- at_most_once, what was started is FAILED as interrupted all the same.)
--
-- p_claims: [{"id", "attempt", "started"?}] of one session; started is false for what waited for a slot: that
-- goes back under at_most_once, too. Answers, per claim and in order, accepted, stale or unknown, as
-- finish() does: accepted also when it had been given back before.
create or replace function executor.release(p_session uuid, p_claims jsonb)
returns table (command_id uuid, attempt integer, answer text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  perform executor.close_attempts(p_session, p_claims, 'released');
  return query
    select
      (claim ->> 'id')::uuid,
      (claim ->> 'attempt')::integer,
      case
        when exists (
          select
          from executor.attempts a
          where a.command_id = (claim ->> 'id')::uuid
            and a.attempt = (claim ->> 'attempt')::integer
            and a.session = p_session
            and a.outcome in ('released', 'unstarted')
        ) then 'accepted'
        when exists (select from executor.commands c where c.id = (claim ->> 'id')::uuid) then 'stale'
        else 'unknown'
      end
    from jsonb_array_elements(p_claims) with ordinality as batch (claim, ordinal)
    order by ordinal;
end
$$;
comment on function executor.release(uuid, jsonb) is
  'Gives running commands back untouched: a session and its [{"id", "attempt", "started"?}].';
