-- Gives free concurrency keys to the first BLOCKED commands that wait for them. Answers how many commands
-- became ready.
--
-- A key is held by the command that is PENDING, RUNNING or pausing before a retry. Any transaction may
-- let go of one; only the holder of the key's advisory lock gives it away, so that two cannot do so at
-- once. Nobody ever waits for that lock (an open transaction in psql would stall whole batches): a key
-- that is locked, or whose next command is, goes to contended_keys, and the next tick looks at it.
--
-- So do the keys beyond a transaction's share of the lock table, which all connections have in common:
-- once that is full, every statement that needs a lock fails.
--
-- First ready, first out, the higher priority before: "ready" is when it was submitted, or run_at where
-- that is later.
--
-- p_announce: whether to have the tick look at these at once.
--
-- The last thing that a transaction does: the commands that it makes ready come after whatever it has
-- locked before, in no order.
create or replace function executor.unblock(p_keys text[], p_announce boolean default true)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
declare
  v_key text;
  v_id uuid;
  v_contended text[] := '{}';
  v_ready uuid[] := '{}';
  v_most_locks integer := current_setting('max_locks_per_transaction');
  -- By this transaction, in earlier calls too.
  v_locks integer := coalesce(nullif(current_setting('executor.key_locks', true), ''), '0');
begin
  for v_key in select distinct unnest(p_keys) loop
    continue when v_key is null;
    if v_locks >= v_most_locks
      or not pg_try_advisory_xact_lock(hashtextextended(v_key, 7018969161888561255)) then
      v_contended := v_contended || v_key;
      continue;
    end if;
    v_locks := v_locks + 1;
    -- Only now, in a statement of its own: what the lock's last holder did is visible from here on.
    continue when exists (
      select
      from executor.commands c
      where c.concurrency_key = v_key
        and (c.status in ('PENDING', 'RUNNING') or (c.status = 'SCHEDULED' and c.attempt > 0))
    );
    select c.id into v_id
    from executor.commands c
    where c.concurrency_key = v_key and c.status = 'BLOCKED'
    order by c.priority desc, greatest(c.run_at, c.created_at), c.id
    limit 1;
    continue when not found;
    perform
    from executor.commands c
    where c.id = v_id and c.status::text = 'BLOCKED'
    for no key update skip locked;
    if not found then
      v_contended := v_contended || v_key;
      continue;
    end if;
    update executor.commands c
    set status = 'PENDING', updated_at = clock_timestamp()
    where c.id = v_id;
    v_ready := v_ready || v_id;
  end loop;
  perform set_config('executor.key_locks', v_locks::text, true);

  if v_contended <> '{}' then
    insert into executor.contended_keys (concurrency_key) select unnest(v_contended);
    if p_announce then
      perform executor.announce_due(now());
    end if;
  end if;
  if v_ready <> '{}' then
    perform executor.offer(v_ready);
    perform executor.announce_changes(v_ready);
  end if;
  return cardinality(v_ready);
end
$$;
comment on function executor.unblock(text[], boolean) is
  'Internal: gives free concurrency keys to the first commands that wait for them; answers how many.';
