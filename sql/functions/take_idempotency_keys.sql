-- Takes the idempotency keys of a batch of submissions; answers what was submitted under them before:
-- [ordinal → command]. Errors: ZX006 the key stands for another submission, ZX007 it is being used.
--
-- p_batch: as submit() gets it. A key stands for its submission for 24 h; after that it is free. A key
-- that another transaction is just taking is waited for, but not for long: that one may be an open
-- transaction in psql. Keys are taken in one order, so that two batches cannot wait for each other. One
-- that is known is only read: those who repeat a submission do not queue for it.
create or replace function executor.take_idempotency_keys(p_batch jsonb)
returns table (ordinal bigint, command_id uuid)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set lock_timeout = '1s'
as $$
#variable_conflict use_column
declare
  -- One when nobody else has to do with the key, two when somebody took it while this one did, …
  c_most_looks constant integer := 10;
  v_item record;
  v_known executor.idempotency_keys;
begin
  for v_item in
    select
      item ->> 'idempotencyKey' as key,
      sha256(convert_to((item - array['id', 'idempotencyKey', 'batchId'])::text, 'utf8')) as fingerprint,
      (item ->> 'id')::uuid as command_id,
      batch.ordinal
    from jsonb_array_elements(p_batch) with ordinality as batch (item, ordinal)
    where item ->> 'idempotencyKey' is not null
    order by (item ->> 'idempotencyKey') collate "C", batch.ordinal
  loop
    for v_look in 1..c_most_looks loop
      -- In a statement of its own: what was committed while this one waited is visible from here on.
      select * into v_known from executor.idempotency_keys k where k.key = v_item.key;
      if not found then
        insert into executor.idempotency_keys (key, fingerprint, command_id, created_at)
        values (v_item.key, v_item.fingerprint, v_item.command_id, clock_timestamp())
        on conflict (key) do nothing;
        exit when found;
      elsif v_known.created_at < clock_timestamp() - interval '24 hours' then
        update executor.idempotency_keys k
        set
          fingerprint = v_item.fingerprint,
          command_id = v_item.command_id,
          created_at = clock_timestamp()
        where k.key = v_item.key and k.created_at = v_known.created_at;
        exit when found;
      elsif v_known.fingerprint <> v_item.fingerprint then
        raise exception 'the idempotency key % was used for another submission',
          quote_literal(v_item.key)
          using errcode = 'ZX006';
      else
        ordinal := v_item.ordinal;
        command_id := v_known.command_id;
        return next;
        exit;
      end if;
      if v_look = c_most_looks then
        raise lock_not_available;
      end if;
    end loop;
  end loop;
exception when lock_not_available then
  raise exception 'the idempotency key % is being used by another submission',
    quote_literal(v_item.key)
    using errcode = 'ZX007';
end
$$;
comment on function executor.take_idempotency_keys(jsonb) is
  'Internal: takes the idempotency keys of submissions; answers what was submitted under them before.';
