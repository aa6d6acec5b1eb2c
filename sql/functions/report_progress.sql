-- Takes what executors say while they run: how far they are, and lines for the command's log.
--
-- p_reports: [{"id", "attempt", "progress"?, "message"?, "lines"?: [{"no", "line"}]}] of one session, each
-- attempt at most once. Fenced like a result: only the attempt that runs may speak. Lines keep their
-- numbers, so that repeating a report is harmless. Bounds (the caller keeps them, the tables insist):
-- 0 to 1, 500 characters; lines 1 to 1,000 of 2,000. Answers, per report and in order:
--   accepted  it is said
--   stale     the attempt does not run any more; nothing changed
--   busy      somebody holds the command locked; nothing changed, say it again later
--
-- Waits for nobody: an agent says it over the connection that its results take, and a person's open
-- transaction must not hold these up. So the lock that the foreign keys need is taken first, where it
-- is free. It is no hindrance to whoever finishes or cancels the command.
create or replace function executor.report_progress(p_session uuid, p_reports jsonb)
returns table (command_id uuid, attempt integer, answer text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  v_report record;
  v_accepted uuid[] := '{}';
  v_answers text[] := array_fill('stale'::text, array[jsonb_array_length(p_reports)]);
begin
  for v_report in
    select (report ->> 'id')::uuid as id, (report ->> 'attempt')::integer as attempt, report, ordinal
    from jsonb_array_elements(p_reports) with ordinality as batch (report, ordinal)
    order by 1, ordinal
  loop
    continue when not exists (
      select
      from executor.commands c
      where c.id = v_report.id
        and c.attempt = v_report.attempt
        and c.session = p_session
        and c.status::text = 'RUNNING'
    );
    perform from executor.commands c where c.id = v_report.id for key share skip locked;
    if not found then
      v_answers[v_report.ordinal] := 'busy';
      continue;
    end if;
    v_answers[v_report.ordinal] := 'accepted';
    v_accepted := v_accepted || v_report.id;

    if v_report.report ? 'progress' or v_report.report ? 'message' then
      insert into executor.progress as p (command_id, attempt, progress, message, updated_at)
      values (
        v_report.id,
        v_report.attempt,
        (v_report.report ->> 'progress')::double precision,
        v_report.report ->> 'message',
        clock_timestamp()
      )
      on conflict (command_id) do update
      set
        attempt = excluded.attempt,
        progress = excluded.progress,
        message = excluded.message,
        updated_at = excluded.updated_at
      where p.attempt <= excluded.attempt;
    end if;

    insert into executor.command_logs (command_id, attempt, line_no, logged_at, line)
    select
      v_report.id, v_report.attempt, (line ->> 'no')::integer, clock_timestamp(), line ->> 'line'
    from jsonb_array_elements(v_report.report -> 'lines') as line
    on conflict do nothing;
  end loop;
  perform executor.announce_changes(v_accepted);

  return query
    select (report ->> 'id')::uuid, (report ->> 'attempt')::integer, v_answers[ordinal]
    from jsonb_array_elements(p_reports) with ordinality as batch (report, ordinal)
    order by ordinal;
end
$$;
comment on function executor.report_progress(uuid, jsonb) is
  'Takes progress and log lines of running attempts: [{"id", "attempt", "progress"?, "message"?, '
  '"lines"?: [{"no", "line"}]}]; answers accepted, stale or busy for each.';
