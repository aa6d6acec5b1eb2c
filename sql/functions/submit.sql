-- Takes commands in: the ledger row and its ticket (or none, for a deferred one), in one transaction, and
-- one NOTIFY a queue.
--
-- p_batch: [{"id", "type", "payload", "queue"?, "priority"?, "runAt"? or "delayMs"?, "timeoutMs"?,
-- "maxAttempts"?, "backoff"?: {"initialMs"?, "factor"?, "maxMs"?}, "delivery"?}]. The caller draws the ids,
-- so that a batch can be repeated after a COMMIT whose outcome is unknown: what is there already stays as
-- it is. All or nothing. Errors: ZX001 unknown type, ZX002 unknown queue, ZX003 payload is no object, and
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
  v_due_at timestamptz;
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
      item,
      item -> 'backoff' as backoff,
      v_now + ordinal * interval '1 microsecond' as created_at,
      coalesce(
        (item ->> 'runAt')::timestamptz,
        v_now + make_interval(secs => (item ->> 'delayMs')::double precision / 1000)
      ) as run_at
    from jsonb_array_elements(p_batch) with ordinality as batch (item, ordinal)
  ),
  added as (
    insert into executor.commands (
      id, type, queue, priority, status, payload, timeout, run_at, created_at, updated_at,
      max_attempts, backoff_initial, backoff_factor, backoff_max, delivery
    )
    select
      (i.item ->> 'id')::uuid,
      i.item ->> 'type',
      coalesce(i.item ->> 'queue', 'default'),
      coalesce((i.item ->> 'priority')::integer, 0),
      case
        when i.run_at > i.created_at then 'SCHEDULED'::executor.command_status
        else 'PENDING'
      end,
      i.item -> 'payload',
      coalesce(
        make_interval(secs => (i.item ->> 'timeoutMs')::double precision / 1000),
        executor.attempt_timeout(t, i.item -> 'payload')
      ),
      i.run_at,
      i.created_at,
      i.created_at,
      coalesce((i.item ->> 'maxAttempts')::integer, 3),
      coalesce(
        make_interval(secs => (i.backoff ->> 'initialMs')::double precision / 1000), interval '1 second'
      ),
      coalesce((i.backoff ->> 'factor')::double precision, 2),
      coalesce(make_interval(secs => (i.backoff ->> 'maxMs')::double precision / 1000), interval '1 hour'),
      coalesce((i.item ->> 'delivery')::executor.delivery, 'at_least_once')
    from input i
    join executor.command_types t on t.type = i.item ->> 'type'
    -- By id: two batches that share ids, as repeated ones do, then wait for each other in one order.
    order by 1
    on conflict (id) do nothing
    returning id, status, run_at
  )
  select array_agg(id) filter (where status = 'PENDING'), min(run_at) filter (where status = 'SCHEDULED')
  into v_added, v_due_at
  from added;

  if v_added is not null then
    perform executor.offer(v_added);
  end if;
  if v_due_at is not null then
    perform executor.announce_due(v_due_at);
  end if;

  return query
    select (item ->> 'id')::uuid
    from jsonb_array_elements(p_batch) with ordinality as batch (item, ordinal)
    order by ordinal;
end
$$;
comment on function executor.submit(jsonb) is
  'Submits commands: [{"id", "type", "payload", …}]; answers their ids in order.';
