-- Takes commands in: the ledger row and its ticket, in one transaction, and one NOTIFY a queue.
--
-- p_batch: [{"id", "type", "payload", "queue"?, "priority"?}]. The caller draws the ids, so that a
-- batch can be repeated after a COMMIT whose outcome is unknown: what is there already stays as it is.
-- All or nothing. Errors: ZX001 unknown type, ZX002 unknown queue, ZX003 payload is no object, and
-- what the table refuses (22…, 23…); the caller repeats such a batch item by item.
--
-- created_at rises by a microsecond an item, so that first in, first out holds within a batch too.
create or replace function executor.submit(p_batch jsonb)
returns setof uuid
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_added uuid[];
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
    select from executor_queue.queue q where q.name = coalesce(item ->> 'queue', 'default')
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

  with input as (
    select
      (item ->> 'id')::uuid as id,
      item ->> 'type' as type,
      coalesce(item ->> 'queue', 'default') as queue,
      coalesce((item ->> 'priority')::integer, 0) as priority,
      item -> 'payload' as payload,
      v_now + ordinal * interval '1 microsecond' as created_at
    from jsonb_array_elements(p_batch) with ordinality as batch (item, ordinal)
  ),
  added as (
    insert into executor.commands
      (id, type, queue, priority, status, payload, timeout, created_at, updated_at)
    select
      i.id,
      i.type,
      i.queue,
      i.priority,
      'PENDING',
      i.payload,
      executor.attempt_timeout(t, i.payload),
      i.created_at,
      i.created_at
    from input i
    join executor.command_types t on t.type = i.type
    order by i.created_at
    on conflict (id) do nothing
    returning id
  )
  select array_agg(id) into v_added from added;

  perform executor.offer(v_added);

  return query
    select (item ->> 'id')::uuid
    from jsonb_array_elements(p_batch) with ordinality as batch (item, ordinal)
    order by ordinal;
end
$$;
comment on function executor.submit(jsonb) is
  'Submits commands: [{"id", "type", "payload", "queue"?, "priority"?}]; answers their ids in order.';
