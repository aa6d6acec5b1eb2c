-- Takes commands in: the ledger row and its ticket (or none, for one that has to wait), in one
-- transaction, and one NOTIFY a queue.
--
-- p_batch: [{"id", "type", "payload", "queue"?, "target"?: {"agentId"}, "priority"?, "runAt"? or "delayMs"?,
-- "timeoutMs"?, "maxAttempts"?, "backoff"?: {"initialMs"?, "factor"?, "maxMs"?}, "delivery"?, "tags"?,
-- "metadata"?, "concurrencyKey"?, "idempotencyKey"?, "batchId"?, "retryOf"?}]. The caller draws the ids, so
-- that a batch can be repeated after a COMMIT whose outcome is unknown: what is there already stays as it
-- is. All or nothing. Answers the commands' ids in order: another than was given where the idempotency key
-- stands for an earlier submission. Errors: ZX001 unknown type, ZX002 unknown queue, ZX003 payload is no
-- object, ZX006 and ZX007 of take_idempotency_keys(), and what the table refuses (22…, 23…); the caller
-- repeats such a batch item by item.
--
-- A command with a concurrency key is BLOCKED until unblock() makes it ready, mostly at once. A deferred
-- one does not hold its key.
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
  v_ids uuid[];
  v_is_fine boolean;
  v_has_targets boolean;
  v_has_keys boolean;
  -- Ordinal → the command that was submitted under this idempotency key before.
  v_known jsonb := '{}';
  v_added uuid[];
  -- Whom to wake.
  v_work text[];
  v_blocked text[];
  v_due_at timestamptz;
begin
  -- One look at all of it: each statement more is a tenth of what a single submission takes.
  select
    array_agg((item ->> 'id')::uuid order by ordinal),
    bool_and(
      -- Every queue that there is has one for every type that there is.
      exists (
        select
        from executor.lanes l
        where l.queue = coalesce(item ->> 'queue', 'default')
          and l.type = item ->> 'type'
          and l.agent_id = ''
      )
      and jsonb_typeof(item -> 'payload') is not distinct from 'object'
      -- Each level takes eight bytes.
      and (
        pg_column_size(item) < 500
        or not jsonb_path_exists(item -> 'payload', '$.**{65}')
        and not jsonb_path_exists(item -> 'metadata', '$.**{65}')
      )
    ),
    bool_or(item -> 'target' ->> 'agentId' is not null),
    bool_or(item ->> 'idempotencyKey' is not null)
  into v_ids, v_is_fine, v_has_targets, v_has_keys
  from jsonb_array_elements(p_batch) with ordinality as batch (item, ordinal);
  if v_ids is null then
    return;
  end if;
  if not v_is_fine then
    perform executor.refuse_submissions(p_batch);
  end if;

  -- What is meant for one agent has a lane of its own, made when it is first needed.
  if v_has_targets then
    perform executor.lane_of(target.queue, target.type, target.agent_id)
    from (
      select distinct
        coalesce(item ->> 'queue', 'default') as queue,
        item ->> 'type' as type,
        item -> 'target' ->> 'agentId' as agent_id
      from jsonb_array_elements(p_batch) as item
      where item -> 'target' ->> 'agentId' is not null
      order by 1, 2, 3
    ) as target;
  end if;

  if v_has_keys then
    select coalesce(jsonb_object_agg(ordinal, command_id), '{}')
    into v_known
    from executor.take_idempotency_keys(p_batch);
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
    where not v_known ? ordinal::text
  ),
  added as (
    insert into executor.commands (
      id, type, queue, lane, target_agent_id, priority, status, payload, timeout,
      run_at, created_at, updated_at, max_attempts, backoff_initial, backoff_factor, backoff_max, delivery,
      tags, metadata, concurrency_key, idempotency_key, batch_id, retry_of
    )
    select
      (i.item ->> 'id')::uuid,
      i.item ->> 'type',
      coalesce(i.item ->> 'queue', 'default'),
      l.name,
      nullif(l.agent_id, ''),
      coalesce((i.item ->> 'priority')::integer, 0),
      case
        when i.run_at > i.created_at then 'SCHEDULED'::executor.command_status
        when i.item ->> 'concurrencyKey' is not null then 'BLOCKED'
        else 'PENDING'
      end,
      i.item -> 'payload',
      coalesce(
        make_interval(secs => (i.item ->> 'timeoutMs')::double precision / 1000),
        -- Its type's default, plus the payload member that the type names.
        t.default_timeout + make_interval(
          secs => case jsonb_typeof(i.item -> 'payload' -> t.timeout_payload_key)
            when 'number' then greatest(0, least(
              (i.item -> 'payload' ->> t.timeout_payload_key)::numeric / 1000, 1e9
            ))::double precision
            else 0
          end
        )
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
      coalesce((i.item ->> 'delivery')::executor.delivery, 'at_least_once'),
      case
        when i.item ? 'tags' then array(select jsonb_array_elements_text(i.item -> 'tags'))
        else '{}'
      end,
      coalesce(i.item -> 'metadata', '{}'),
      i.item ->> 'concurrencyKey',
      i.item ->> 'idempotencyKey',
      (i.item ->> 'batchId')::uuid,
      (i.item ->> 'retryOf')::uuid
    from input i
    join executor.command_types t on t.type = i.item ->> 'type'
    left join executor.lanes l
      on l.queue = coalesce(i.item ->> 'queue', 'default')
      and l.type = t.type
      and l.agent_id = coalesce(i.item -> 'target' ->> 'agentId', '')
    -- By id: two batches that share ids, as repeated ones do, then wait for each other in one order.
    order by 1
    on conflict (id) do nothing
    returning id, status, run_at, concurrency_key, lane, priority, created_at, queue, type, target_agent_id
  ),
  -- As offer() does it, without a look at rows that this statement has just written.
  offered as (
    insert into executor.tickets (id, lane, priority, ready_at)
    select a.id, a.lane, a.priority, a.created_at
    from added a
    where a.status = 'PENDING'
      and not exists (
        select from executor_queue.job_common t where t.name = a.lane and t.id = a.id offset 0
      )
  )
  select
    array_agg(id),
    array_agg(distinct concat_ws(' ', queue, type, target_agent_id)) filter (where status = 'PENDING'),
    array_agg(concurrency_key) filter (where status = 'BLOCKED'),
    min(run_at) filter (where status = 'SCHEDULED')
  into v_added, v_work, v_blocked, v_due_at
  from added;

  if v_work is not null then
    perform pg_notify('executor_work', work) from unnest(v_work) as work;
  end if;
  if v_blocked is not null then
    perform executor.unblock(v_blocked);
  end if;
  if v_due_at is not null then
    perform executor.announce_due(v_due_at);
  end if;
  perform executor.announce_changes(v_added);

  for v_ordinal in 1..cardinality(v_ids) loop
    return next coalesce((v_known ->> v_ordinal::text)::uuid, v_ids[v_ordinal]);
  end loop;
end
$$;
comment on function executor.submit(jsonb) is
  'Submits commands: [{"id", "type", "payload", …}]; answers their ids in order.';
