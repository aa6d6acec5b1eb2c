-- Takes outcomes from agents that may know neither their session nor the attempt: what is not given is
-- that of the attempt that runs.
--
-- p_reports: as finish() takes them, with "agentId", and "attempt" and "session" only perhaps. Who names no
-- session is known by its id: a report for another's command is stale, and so is one that names no attempt
-- for what does not run any more. Answers as finish() does: a repeat that names its attempt is accepted
-- again.
create or replace function executor.finish_for_clients(p_reports jsonb)
returns table (command_id uuid, attempt integer, answer text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select finished.*
  from executor.finish((
    select coalesce(
      jsonb_agg(
        report || jsonb_build_object(
          'attempt', coalesce((report ->> 'attempt')::integer, c.attempt, 0),
          'session', coalesce(
            (report ->> 'session')::uuid,
            case
              when c.agent_id = report ->> 'agentId'
                and (c.status = 'RUNNING' or c.attempt = (report ->> 'attempt')::integer)
              then c.session
            end,
            closed.session,
            '00000000-0000-0000-0000-000000000000'
          )
        )
        order by ordinal
      ),
      '[]'
    )
    from jsonb_array_elements(p_reports) with ordinality as batch (report, ordinal)
    left join lateral (
      select c.* from executor.commands c where c.id = (report ->> 'id')::uuid limit 1
    ) as c on true
    left join lateral (
      select a.session
      from executor.attempts a
      where a.command_id = c.id
        and a.attempt = (report ->> 'attempt')::integer
        and a.agent_id = report ->> 'agentId'
      limit 1
    ) as closed on true
  )) as finished
$$;
comment on function executor.finish_for_clients(jsonb) is
  'Takes outcomes from agents that may know neither session nor attempt; answers as finish() does.';
