-- Retries like to go home: one that has just become ready is offered to the agent that ran it, if that one
-- lives, takes such commands and has a free slot; a second later to everybody (see send_on()).
--
-- The caller has made these commands PENDING, and is going to write their tickets. It has made the lanes
-- (make_homes()) before it locked any: a retry whose lane home is not there goes to everybody.
create or replace function executor.send_home(p_ids uuid[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_retry record;
begin
  for v_retry in
    select retry.id, retry.queue, retry.type, retry.agent_id
    from (
      select
        c.id,
        c.queue,
        c.type,
        a.id as agent_id,
        a.concurrency - (
          select count(*)
          from executor.commands r
          where r.status = 'RUNNING' and r.agent_id = a.id and r.session = a.session
        ) as free,
        row_number() over (partition by a.id order by c.run_at) as place
      from executor.commands c
      cross join lateral (
        select latest.agent_id
        from executor.attempts latest
        where latest.command_id = c.id
          and latest.attempt = c.attempt
          and latest.outcome in ('failed', 'timed_out')
        limit 1
      ) as latest
      cross join lateral (
        select *
        from executor.agents a
        where a.id = latest.agent_id
          and a.beats
          and a.lost_at is null
          and a.signed_off_at is null
          and not a.draining
          and a.drain_requested_at is null
        limit 1
      ) as a
      where c.id = any (p_ids)
        and c.attempt > 0
        and c.target_agent_id is null
        and c.queue = any (a.queues)
        and c.type = any (a.types)
    ) as retry
    where retry.place <= retry.free
      and exists (
        select
        from executor.lanes l
        where l.queue = retry.queue and l.type = retry.type and l.agent_id = retry.agent_id
      )
    order by retry.queue, retry.type, retry.agent_id
  loop
    update executor.commands
    set
      lane = executor.lane_of(v_retry.queue, v_retry.type, v_retry.agent_id),
      home_until = clock_timestamp() + interval '1 second'
    where id = v_retry.id;
  end loop;
end
$$;
comment on function executor.send_home(uuid[]) is
  'Internal: has retries that have become ready offered first to the agents that ran them.';
