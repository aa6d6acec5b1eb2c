-- Says what is wrong with a batch in which submit() has found something. Errors: ZX001 unknown type, ZX002
-- unknown queue, ZX003 payload is no object, or it or the metadata is nested too deep.
create or replace function executor.refuse_submissions(p_batch jsonb)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_bad text;
begin
  select item ->> 'type'
  into v_bad
  from jsonb_array_elements(p_batch) as item
  where not exists (select from executor.command_types t where t.type = item ->> 'type')
  limit 1;
  if found then
    raise exception 'unknown command type %', coalesce(quote_literal(left(v_bad, 100)), 'null')
      using errcode = 'ZX001';
  end if;

  select coalesce(item ->> 'queue', 'default')
  into v_bad
  from jsonb_array_elements(p_batch) as item
  where not exists (
    select from executor.queues q where q.name = coalesce(item ->> 'queue', 'default')
  )
  limit 1;
  if found then
    raise exception 'unknown queue %', quote_literal(left(v_bad, 100)) using errcode = 'ZX002';
  end if;

  if exists (
    select
    from jsonb_array_elements(p_batch) as item
    where jsonb_typeof(item -> 'payload') is distinct from 'object'
  ) then
    raise exception 'the payload must be a JSON object' using errcode = 'ZX003';
  end if;
  -- What jsonb holds at any depth, clients cannot read back: one such command would break whole lists.
  raise exception 'payload and metadata may be nested 64 levels deep' using errcode = 'ZX003';
end
$$;
comment on function executor.refuse_submissions(jsonb) is
  'Internal: says what is wrong with a batch of submissions.';
