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
-- Lock order: tickets, then commands, ids ascending; then, without waiting, what waits for their
-- concurrency keys.
--
-- Statistics must not matter: to a planner that saw the queue and the index of running commands
-- empty, reading all of them looks cheaper than looking up. So there is no join whose order it could
-- get wrong (reports are looked up in an object, by fence), status::text keeps it from that index, and
-- tickets are deleted at the places where they were found when they were locked: array_position() is
-- no condition that an index could serve.
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
  v_completions jsonb;
  v_ids uuid[];
  v_is_mixed boolean;
  v_places tid[];
  v_completed record;
  v_deleted integer;
  v_id uuid;
  v_one_by_one uuid[] := '{}';
  v_report record;
  v_answers text[] := array_fill(null::text, array[jsonb_array_length(p_reports)]);
begin
  if exists (
    select
    from jsonb_array_elements(p_reports) as report
    where coalesce(report ->> 'outcome', '')
      not in ('completed', 'failed', 'timed_out', 'cancelled')
  ) then
    raise exception 'a report''s outcome must be completed, failed, timed_out or cancelled'
      using errcode = 'ZX004';
  end if;

  select
    jsonb_object_agg(
      concat_ws(
        ' ', (report ->> 'id')::uuid, (report ->> 'attempt')::integer, (report ->> 'session')::uuid
      ),
      report
    ) filter (where report ->> 'outcome' = 'completed'),
    array_agg((report ->> 'id')::uuid),
    count(distinct report ->> 'outcome' = 'completed') = 2
  into v_completions, v_ids, v_is_mixed
  from jsonb_array_elements(p_reports) as report;

  select array_agg(place) into v_places from executor.lock_tickets(v_ids) as place;
  if v_is_mixed then
    -- Both paths are going to lock commands: all of them first, in one order.
    perform
    from (select distinct unnest(v_ids) as id order by 1) as wanted
    cross join lateral (
      select from executor.commands c where c.id = wanted.id for no key update
    ) as command;
  end if;

  with completed as (
    update executor.commands c
    set
      status = 'COMPLETED',
      result = v_completions -> concat_ws(' ', c.id, c.attempt, c.session) -> 'result',
      finished_at = clock_timestamp(),
      updated_at = clock_timestamp()
    where c.id = any (v_ids)
      and c.status::text = 'RUNNING'
      and v_completions ? concat_ws(' ', c.id, c.attempt, c.session)
    returning
      c.id, c.concurrency_key, concat_ws(' ', c.id, c.attempt, c.session) as fence
  )
  select
    coalesce(array_agg(id), '{}') as ids,
    coalesce(array_agg(fence), '{}') as fences,
    array_agg(concurrency_key) filter (where concurrency_key is not null) as keys
  into v_completed
  from completed;
  delete from executor_queue.job t
  where t.ctid = any (v_places) and array_position(v_completed.ids, t.id) is not null;
  get diagnostics v_deleted = row_count;
  if v_deleted < cardinality(v_completed.ids) then
    -- One was mended since: it is somewhere else.
    foreach v_id in array v_completed.ids loop
      delete from executor_queue.job t
      where t.name = (select c.lane from executor.commands c where c.id = v_id) and t.id = v_id;
    end loop;
  end if;

  for v_report in
    select ordinal, report, (report ->> 'id')::uuid as id
    from jsonb_array_elements(p_reports) with ordinality as batch (report, ordinal)
    where report ->> 'outcome' <> 'completed'
      or concat_ws(
        ' ', (report ->> 'id')::uuid, (report ->> 'attempt')::integer, (report ->> 'session')::uuid
      ) <> all (v_completed.fences)
    order by 3, ordinal
  loop
    v_answers[v_report.ordinal] := executor.finish_one(v_report.report);
    v_one_by_one := v_one_by_one || v_report.id;
  end loop;
  if v_completed.keys is not null then
    perform executor.unblock(v_completed.keys);
  end if;
  if v_one_by_one <> '{}' then
    perform executor.hand_on_keys(v_one_by_one);
  end if;
  perform executor.announce_changes(v_ids);

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
