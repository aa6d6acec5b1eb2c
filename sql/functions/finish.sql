-- Gives running attempts' outcomes to their commands.
--
-- p_reports: [{"id", "attempt", "session", "outcome": completed | failed | timed_out, "result"?,
-- "error"?}]. (command, attempt, session) is the fence: a report of an agent presumed dead matches
-- nothing once a newer attempt has started. Answers, per report and in order:
--   accepted  the outcome is the command's (also when it had been reported before)
--   stale     the attempt does not own the command any more; nothing changed
--   unknown   there is no such command
-- Errors: ZX004 a report without a known outcome, and what jsonb cannot store (22…); the caller
-- repeats such a batch report by report.
--
-- Lock order: tickets, then commands, ids ascending.
--
-- status::text keeps the planner from the index of running commands: with old statistics it looks
-- empty, and reading all of it once a report took 60 ms at 1,000 running.
create or replace function executor.finish(p_reports jsonb)
returns table (command_id uuid, attempt integer, answer text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  v_ids uuid[];
  v_finished uuid[];
begin
  if exists (
    select
    from jsonb_array_elements(p_reports) as report
    where coalesce(report ->> 'outcome', '') not in ('completed', 'failed', 'timed_out')
  ) then
    raise exception 'a report''s outcome must be completed, failed or timed_out'
      using errcode = 'ZX004';
  end if;

  v_ids := array(
    select distinct (report ->> 'id')::uuid from jsonb_array_elements(p_reports) as report order by 1
  );
  perform executor.lock_tickets(v_ids);

  with report as (
    select distinct on (1)
      (report ->> 'id')::uuid as id,
      (report ->> 'attempt')::integer as attempt,
      (report ->> 'session')::uuid as session,
      report ->> 'outcome' as outcome,
      report -> 'result' as result,
      report -> 'error' as error
    from jsonb_array_elements(p_reports) as report
    order by 1
  ),
  finished as (
    update executor.commands c
    set
      status = case
        when report.outcome = 'completed' then 'COMPLETED'::executor.command_status
        else 'FAILED'
      end,
      result = case when report.outcome = 'completed' then report.result end,
      error = case
        when report.outcome <> 'completed'
        then coalesce(report.error, jsonb_build_object('code', report.outcome))
      end,
      finished_at = clock_timestamp(),
      updated_at = clock_timestamp()
    from report
    where c.id = report.id
      and c.id = any (v_ids)
      and c.status::text = 'RUNNING'
      and c.attempt = report.attempt
      and c.session = report.session
    returning c.id
  )
  select array_agg(id) into v_finished from finished;
  perform executor.withdraw(v_finished);

  return query
    select
      (report ->> 'id')::uuid,
      (report ->> 'attempt')::integer,
      case
        when c.id is null then 'unknown'
        when c.attempt = (report ->> 'attempt')::integer
          and c.session = (report ->> 'session')::uuid
          and c.status = case report ->> 'outcome'
            when 'completed' then 'COMPLETED'::executor.command_status
            else 'FAILED'
          end
          then 'accepted'
        else 'stale'
      end
    from jsonb_array_elements(p_reports) with ordinality as batch (report, ordinal)
    left join executor.commands c on c.id = (report ->> 'id')::uuid
    order by ordinal;
end
$$;
comment on function executor.finish(jsonb) is
  'Reports outcomes: [{"id", "attempt", "session", "outcome", "result"?, "error"?}]; answers accepted, '
  'stale or unknown for each.';
