-- Gives attempts' outcomes to their commands.
--
-- p_reports: [{"id", "attempt", "session", "outcome": completed | failed | timed_out | cancelled,
-- "result"?, "error"?: {"code", "message", "retryable"}}]. (command, attempt, session) is the fence: a report of
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
-- Lock order: what runs has no ticket, so that completions lock their commands only, ids ascending. A batch
-- that has anything else begins anew: tickets, then commands, ids ascending. Then, without waiting, what
-- waits for their concurrency keys.
create or replace function executor.finish(p_reports jsonb)
returns table (command_id uuid, attempt integer, answer text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  -- Of the reports, by id; of the same command the completion of the latest attempt comes last.
  v_ids uuid[];
  v_completed_attempts integer[];
  v_sessions uuid[];
  v_results jsonb[];
  v_are_known boolean;
  v_are_completions boolean;
  v_completed uuid[];
  v_keys text[];
  v_report record;
  v_one_by_one uuid[] := '{}';
  v_answers text[];
begin
  select
    array_agg(report.id),
    array_agg(case when report.outcome = 'completed' then report.attempt end),
    array_agg(report.session),
    array_agg(report.result),
    bool_and(report.outcome in ('completed', 'failed', 'timed_out', 'cancelled')),
    bool_and(report.outcome = 'completed')
  into v_ids, v_completed_attempts, v_sessions, v_results, v_are_known, v_are_completions
  from (
    select
      (item ->> 'id')::uuid as id,
      (item ->> 'attempt')::integer as attempt,
      (item ->> 'session')::uuid as session,
      coalesce(item ->> 'outcome', '') as outcome,
      item -> 'result' as result
    from jsonb_array_elements(p_reports) as item
    order by 1, item ->> 'outcome' = 'completed', 2
  ) as report;
  if v_ids is null then
    return;
  end if;
  if not v_are_known then
    raise exception 'a report''s outcome must be completed, failed, timed_out or cancelled'
      using errcode = 'ZX004';
  end if;

  loop
    begin
      if not v_are_completions then
        perform executor.lock_tickets(v_ids);
        perform executor.lock_commands(v_ids);
      end if;
      select completed, concurrency_keys
      into v_completed, v_keys
      from executor.complete_attempts(v_ids, v_completed_attempts, v_sessions, v_results);
      exit when not v_are_completions or cardinality(v_completed) = cardinality(v_ids);
      raise exception 'not only completions by owners' using errcode = 'ZX999';
    exception
      -- The locks are gone with what was done.
      when sqlstate 'ZX999' then
        v_are_completions := false;
    end;
  end loop;

  if not v_are_completions then
    v_answers := array_fill(null::text, array[cardinality(v_ids)]);
    for v_report in
      select item.ordinal, item.report, (item.report ->> 'id')::uuid as id
      from jsonb_array_elements(p_reports) with ordinality as item (report, ordinal)
      where item.report ->> 'outcome' <> 'completed'
        or (item.report ->> 'id')::uuid <> all (v_completed)
        or (item.report ->> 'attempt')::integer is distinct from
          v_completed_attempts[width_bucket((item.report ->> 'id')::uuid, v_ids)]
        or (item.report ->> 'session')::uuid is distinct from
          v_sessions[width_bucket((item.report ->> 'id')::uuid, v_ids)]
      order by 3, item.ordinal
    loop
      v_answers[v_report.ordinal] := executor.finish_one(v_report.report);
      v_one_by_one := v_one_by_one || v_report.id;
    end loop;
  end if;
  if v_keys is not null then
    perform executor.unblock(v_keys);
  end if;
  if v_one_by_one <> '{}' then
    perform executor.hand_on_keys(v_one_by_one);
  end if;
  perform executor.announce_changes(v_ids);

  return query
    select
      (item.report ->> 'id')::uuid,
      (item.report ->> 'attempt')::integer,
      coalesce(v_answers[item.ordinal], 'accepted')
    from jsonb_array_elements(p_reports) with ordinality as item (report, ordinal)
    order by item.ordinal;
end
$$;
comment on function executor.finish(jsonb) is
  'Reports outcomes: [{"id", "attempt", "session", "outcome", "result"?, "error"?}]; answers accepted, '
  'stale or unknown for each.';
