-- Signs of life of agents that wait for work at a server: an open long poll counts as a beat.
--
-- p_agents: {agent id: session}. What is superseded or has signed off is left alone. So is what beats by itself
-- and runs something: a process that hangs leaves its polls open.
create or replace function executor.keep_alive(p_agents jsonb)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
  -- A sign of life need not wait for the disk.
  select set_config('synchronous_commit', 'off', true);
  update executor.agents a
  set beat_at = clock_timestamp(), beat_clock = executor.observed_ms(), lost_at = null
  where a.id = any (array(
    select waiting.id
    from executor.agents waiting
    where waiting.id = any (array(select jsonb_object_keys(p_agents)))
      and waiting.session::text = p_agents ->> waiting.id
      and waiting.signed_off_at is null
      and (
        not waiting.has_beaten
        or executor.claims_of(waiting.id, waiting.session) is null
      )
    for no key update skip locked
  ))
$$;
comment on function executor.keep_alive(jsonb) is
  'Signs of life of agents that wait for work at a server: {agent id: session}.';
