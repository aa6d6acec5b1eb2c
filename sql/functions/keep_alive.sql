-- Signs of life of agents that wait for work at a server: an open long poll counts as a beat. Answers who
-- should look for work, as a beat's answer does: one of those that claim the same, and whoever something
-- is meant for. So a wake-up that got lost costs no more than the time between two of these calls. And those
-- whose session is not the agent's any more, who will then hear so.
--
-- p_agents: {agent id: session}. What is superseded or has signed off is left alone. So is what beats by itself
-- and runs something: a process that hangs leaves its polls open.
create or replace function executor.keep_alive(p_agents jsonb)
returns setof text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_ids text[] := array(select jsonb_object_keys(p_agents));
begin
  -- A sign of life need not wait for the disk.
  perform set_config('synchronous_commit', 'off', true);
  update executor.agents a
  set beat_at = clock_timestamp(), beat_clock = executor.observed_ms(), lost_at = null
  where a.id = any (array(
    select waiting.id
    from executor.agents waiting
    where waiting.id = any (v_ids)
      and waiting.session::text = p_agents ->> waiting.id
      and waiting.signed_off_at is null
      and (
        not waiting.has_beaten
        or executor.claims_of(waiting.id, waiting.session) is null
      )
    for no key update skip locked
  ));
  return query
    select alike.id
    from (
      select distinct on (a.queues, a.types) a.id, a.queues, a.types
      from executor.agents a
      where a.id = any (v_ids) and a.drain_requested_at is null
    ) as alike
    where executor.has_work(alike.id, alike.queues, alike.types)
    union
    select l.agent_id
    from executor.lanes l
    where l.agent_id = any (v_ids)
      and l.agent_id <> ''
      and exists (
        select
        from executor_queue.job_common t
        where t.name = l.name and t.state < 'active' and not t.blocked
      )
    union
    select said.id
    from unnest(v_ids) as said (id)
    where not exists (
      select
      from executor.agents a
      where a.id = said.id
        and a.session::text = p_agents ->> said.id
        and a.signed_off_at is null
    );
end
$$;
comment on function executor.keep_alive(jsonb) is
  'Signs of life of agents that wait for work at a server, {agent id: session}; answers who should look.';
