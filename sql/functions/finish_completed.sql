-- finish() for what nearly all reports are: completions by one session. p_ids ascending, each once; p_attempts and
-- p_results (an array) in the same order. Answers only what is not accepted, by its index from 0.
--
-- To take reports apart is a quarter of what finish() costs, which this spares. Where not all of them are just that,
-- finish() takes them.
create or replace function executor.finish_completed(
  p_session uuid,
  p_ids uuid[],
  p_attempts integer[],
  p_results jsonb
)
returns table (index integer, answer text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_done record;
begin
  select *
  into v_done
  from executor.complete_attempts(
    p_ids,
    p_attempts,
    array_fill(p_session, array[cardinality(p_ids)]),
    array(select jsonb_array_elements(p_results))
  );
  if cardinality(v_done.completed) < cardinality(p_ids) then
    raise exception 'not only completions by the owner' using errcode = 'ZX999';
  end if;
  if v_done.concurrency_keys is not null then
    perform executor.unblock(v_done.concurrency_keys);
  end if;
  perform executor.announce_changes(p_ids);
exception
  -- The locks are gone with what was done.
  when sqlstate 'ZX999' then
    return query
      select report.ordinality::integer - 1, report.answer
      from executor.finish((
        select jsonb_agg(
          jsonb_build_object(
            'id', p_ids[n],
            'attempt', p_attempts[n],
            'session', p_session,
            'outcome', 'completed',
            'result', p_results -> (n - 1)
          )
          order by n
        )
        from generate_series(1, cardinality(p_ids)) as n
      )) with ordinality as report
      where report.answer <> 'accepted';
end
$$;
comment on function executor.finish_completed(uuid, uuid[], integer[], jsonb) is
  'finish() for completions by one session: [results]; answers only what is not accepted.';
