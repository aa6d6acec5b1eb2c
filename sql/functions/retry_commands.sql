-- Repeats commands that FAILED or were CANCELLED, for people: each as a new command with the same type,
-- payload and options, whose retry_of names the old one, for what is done never changes.
--
-- Answers, per id and in order:
--   retried       new_id is the new command
--   not_failed    it has not FAILED and was not CANCELLED
--   retried_before   p_once, and it was retried before: new_id is that one
--   unknown       there is no such command
--
-- p_new_ids: the new commands' ids, so that the call can be repeated after a COMMIT whose outcome is
-- unknown. p_once: leave out what was retried before, as somebody means who retries all that FAILED;
-- two who do so at once wait for each other.
--
-- For many: select * from executor.retry_commands(array(select id from executor.commands where …));
create or replace function executor.retry_commands(
  p_ids uuid[],
  p_once boolean default true,
  p_new_ids uuid[] default null
)
returns table (command_id uuid, answer text, new_id uuid)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  v_answers jsonb;
  v_batch jsonb;
begin
  if p_new_ids is not null and cardinality(p_new_ids) <> cardinality(p_ids) then
    raise exception 'p_new_ids must be as many as p_ids' using errcode = '22023';
  end if;

  if p_once then
    perform
    from (select distinct unnest(p_ids) as id order by 1) as wanted
    cross join lateral (
      select
      from executor.commands c
      where c.id = wanted.id and c.finished_at is not null
      for no key update
    ) as command;
  end if;

  select
    jsonb_agg(
      jsonb_build_object('command_id', wanted.id, 'answer', found.answer, 'new_id', found.new_id)
      order by wanted.ordinal
    ),
    jsonb_agg(found.item || jsonb_build_object('id', found.new_id) order by wanted.ordinal)
      filter (where found.answer = 'retried')
  into v_answers, v_batch
  from unnest(p_ids) with ordinality as wanted (id, ordinal)
  cross join lateral (
    select
      answered.answer,
      case answered.answer
        when 'retried' then coalesce(p_new_ids[wanted.ordinal], executor.uuid_v7())
        when 'retried_before' then before.id
      end as new_id,
      executor.submission_of(c) as item
    from (select wanted.id) as the (id)
    left join executor.commands c on c.id = the.id
    left join lateral (
      select r.id
      from executor.commands r
      where p_once and r.retry_of = c.id and r.id is distinct from p_new_ids[wanted.ordinal]
      order by r.created_at desc
      limit 1
    ) as before on true
    cross join lateral (
      select case
        when c.id is null then 'unknown'
        when c.status not in ('FAILED', 'CANCELLED') then 'not_failed'
        when before.id is not null then 'retried_before'
        else 'retried'
      end as answer
    ) as answered
  ) as found;

  if v_batch is not null then
    perform executor.submit(v_batch);
  end if;
  return query
    select (a ->> 'command_id')::uuid, a ->> 'answer', (a ->> 'new_id')::uuid
    from jsonb_array_elements(v_answers) with ordinality as answers (a, ordinal)
    order by ordinal;
end
$$;
comment on function executor.retry_commands(uuid[], boolean, uuid[]) is
  'Repeats commands that FAILED or were CANCELLED as new ones; answers retried, retried_before, '
  'not_failed or unknown, and the new id, for each.';
