-- Gives attempts' outcomes to their commands.
--
-- p_reports: [{"id", "attempt", "session", "outcome": completed | failed | timed_out, "result"?,
-- "error"?: {"code", "message", "retryable"}}]. (command, attempt, session) is the fence: a report of
-- an agent presumed dead matches nothing once a newer attempt has started. Answers, per report and in
-- order:
--   accepted  the outcome is the attempt's (also when it had been reported before)
--   stale     the attempt does not own the command any more; nothing changed
--   unknown   there is no such command
-- Errors: ZX004 a report without a known outcome, and what jsonb cannot store (22…); the caller
-- repeats such a batch report by report.
--
-- Two paths: completions by the owner, all in one statement; whatever is left, one by one.
--
-- Lock order: tickets, then commands, ids ascending.
--
-- Statistics must not matter: to a planner that saw the queue and the index of running commands
-- empty, reading all of them looks cheaper than looking up. So there is no join whose order it could
-- get wrong (reports are looked up in an object, by fence), status::text keeps it from that index, and
-- tickets are deleted one by one.
create or replace function executor.finish(p_reports jsonb)
returns table (command_id uuid, attempt integer, answer text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  v_completions jsonb;
  v_ids uuid[];
  v_finished record;
  v_completed text[] := '{}';
  v_report record;
  v_answers text[] := array_fill(null::text, array[jsonb_array_length(p_reports)]);
begin
  if exists (
    select
    from jsonb_array_elements(p_reports) as report
    where coalesce(report ->> 'outcome', '') not in ('completed', 'failed', 'timed_out')
  ) then
    raise exception 'a report''s outcome must be completed, failed or timed_out'
      using errcode = 'ZX004';
  end if;

  select
    jsonb_object_agg(
      concat_ws(
        ' ', (report ->> 'id')::uuid, (report ->> 'attempt')::integer, (report ->> 'session')::uuid
      ),
      report
    ) filter (where report ->> 'outcome' = 'completed'),
    array_agg((report ->> 'id')::uuid)
  into v_completions, v_ids
  from jsonb_array_elements(p_reports) as report;

  perform executor.lock_tickets(v_ids);

  for v_finished in
    update executor.commands c
    set
      status = 'COMPLETED',
      result = v_completions -> concat_ws(' ', c.id, c.attempt, c.session) -> 'result',
      finished_at = clock_timestamp(),
      updated_at = clock_timestamp()
    where c.id = any (v_ids)
      and c.status::text = 'RUNNING'
      and v_completions ? concat_ws(' ', c.id, c.attempt, c.session)
    returning c.id, c.queue, concat_ws(' ', c.id, c.attempt, c.session) as fence
  loop
    delete from executor_queue.job t where t.name = v_finished.queue and t.id = v_finished.id;
    v_completed := v_completed || v_finished.fence;
  end loop;

  for v_report in
    select ordinal, report
    from jsonb_array_elements(p_reports) with ordinality as batch (report, ordinal)
    where report ->> 'outcome' <> 'completed'
      or concat_ws(
        ' ', (report ->> 'id')::uuid, (report ->> 'attempt')::integer, (report ->> 'session')::uuid
      ) <> all (v_completed)
    order by (report ->> 'id')::uuid, ordinal
  loop
    v_answers[v_report.ordinal] := executor.finish_one(v_report.report);
  end loop;

  return query
    select
      (report ->> 'id')::uuid,
      (report ->> 'attempt')::integer,
      coalesce(v_answers[ordinal], 'accepted')
    from jsonb_array_elements(p_reports) with ordinality as batch (report, ordinal)
    order by ordinal;
end
$$;
comment on function executor.finish(jsonb) is
  'Reports outcomes: [{"id", "attempt", "session", "outcome", "result"?, "error"?}]; answers accepted, '
  'stale or unknown for each.';
