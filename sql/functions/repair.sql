-- Mends commands whose row and ticket disagree, a stretch of the ledger at a time: belt and braces, for
-- only a hand or a bug can bring that about. Answers how many; says each in the server's log.
--
-- Looks first, without locks; then repair_one() locks, looks again, and mends: the ledger is right. (A
-- ticket without a command is harmless, as a claim of it changes nothing.) And gives away concurrency keys
-- that are free though somebody waits for them, and that no tick is going to look at: unblock() never
-- leaves any.
create or replace function executor.repair(p_limit integer default 1000)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_from uuid;
  v_to uuid;
  v_id uuid;
  v_keys text[];
  v_repaired integer := 0;
begin
  select repaired_to into v_from from executor.clock;
  select (array_agg(id order by id desc))[1] into v_to
  from (select id from executor.commands where id > v_from order by id limit p_limit) as stretch;

  for v_id in
    select c.id
    from executor.commands c
    left join lateral (
      select t.state::text from executor_queue.job t where t.name = c.lane and t.id = c.id limit 1
    ) as ticket on true
    where c.id > v_from
      and c.id <= v_to
      and ticket.state is distinct from case c.status when 'PENDING' then 'created' end
    order by 1
  loop
    v_repaired := v_repaired + executor.repair_one(v_id)::integer;
  end loop;

  v_keys := array(
    select wanted.key
    from (
      select distinct c.concurrency_key as key
      from executor.commands c
      where c.id > v_from and c.id <= v_to and c.status::text = 'BLOCKED'
    ) as wanted
    -- Looked up one by one (offset 0): as joins they could read all there are.
    where not exists (
      select
      from executor.commands holder
      where holder.concurrency_key = wanted.key
        and (
          holder.status in ('PENDING', 'RUNNING')
          or (holder.status = 'SCHEDULED' and holder.attempt > 0)
        )
      offset 0
    )
    and not exists (
      select from executor.contended_keys k where k.concurrency_key = wanted.key offset 0
    )
  );
  if v_keys <> '{}' then
    raise log 'agent-executor: concurrency keys were free and forgotten: %', to_json(v_keys);
    perform executor.unblock(v_keys);
  end if;

  update executor.clock set repaired_to = coalesce(v_to, '00000000-0000-0000-0000-000000000000');
  return v_repaired;
end
$$;
comment on function executor.repair(integer) is
  'Mends commands whose row and ticket disagree, a stretch of the ledger at a time; answers how many.';
