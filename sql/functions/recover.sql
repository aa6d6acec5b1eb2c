-- Finds agents that are gone, and takes back what they ran. Answers how many commands.
--
-- An agent is lost when it has been silent for lost_after, or its session lock has been missing for a
-- moment, both as observed. Level-triggered: any RUNNING command whose session is not its agent's live
-- one, or that is far past its deadline. (An edge, "agents just lost", would miss a claim that commits
-- a moment later.)
--
-- Lock order: agents, then commands, ids ascending; whatever another session has locked
-- is left for the next time.
create or replace function executor.recover(p_limit integer default 500)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_command record;
  v_recovered uuid[] := '{}';
  v_late jsonb := jsonb_build_object(
    'code', 'timed_out', 'message', 'its agent did not end it at its deadline', 'retryable', true
  );
begin
  perform executor.find_lost_agents();

  for v_command in
    select
      c.id,
      c.attempt,
      c.session,
      a.id is null or a.session <> c.session or a.signed_off_at is not null as is_superseded,
      a.session = c.session and a.lost_at is null and a.signed_off_at is null as is_late
    -- offset 0: by the index of running commands, and not along the ids of the whole ledger.
    from (select * from executor.commands where status = 'RUNNING' offset 0) as c
    left join executor.agents a on a.id = c.agent_id
    cross join executor.settings settings
    cross join executor.clock clock
    where (
        a.id is null
        or a.session <> c.session
        or a.lost_at is not null
        or a.signed_off_at is not null
        or clock_timestamp() > greatest(c.deadline_at, clock.watching_since) + settings.deadline_grace
      )
    order by c.id
    limit p_limit
  loop
    perform
    from executor.commands c
    where c.id = v_command.id
      and c.attempt = v_command.attempt
      and c.session = v_command.session
      and c.status::text = 'RUNNING'
    for no key update skip locked;
    continue when not found;
    if v_command.is_late then
      perform executor.end_attempt(v_command.id, 'timed_out', v_late);
    else
      perform executor.end_attempt(
        v_command.id, 'lost', null, p_counts => not v_command.is_superseded
      );
    end if;
    v_recovered := v_recovered || v_command.id;
  end loop;
  perform executor.hand_on_keys(v_recovered);
  perform executor.announce_changes(v_recovered);
  return cardinality(v_recovered);
end
$$;
comment on function executor.recover(integer) is
  'Finds agents that are gone and takes back what they ran; answers how many commands.';
