-- Marks agents that are gone as lost: silent for too long, or without their session lock.
--
-- Silence is measured on executor.clock. Both count only once somebody has watched without a gap for as
-- long as an agent may be silent: when the database was away, agents are between two tries to reach it
-- again, and when it restarts all locks are gone at once.
create or replace function executor.find_lost_agents()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_held bigint[];
begin
  if exists (
    select from executor.agents where session_lock and lost_at is null and signed_off_at is null
  ) then
    v_held := executor.held_session_locks();
    update executor.agents a
    set
      unlocked_at = case
        when executor.session_lock_key(a.session) = any (v_held) then null
        else clock_timestamp()
      end
    where a.id in (
      select id
      from executor.agents
      where session_lock
        and lost_at is null
        and signed_off_at is null
        and (unlocked_at is not null) = (executor.session_lock_key(session) = any (v_held))
      for update skip locked
    );
  end if;

  -- A simple client that polls no more and owns nothing has gone; one that owns something may be at it.
  update executor.agents a
  set signed_off_at = clock_timestamp()
  where a.id in (
    select agent.id
    from executor.agents agent
    cross join executor.settings settings
    where not agent.beats
      and agent.signed_off_at is null
      and executor.observed_ms() - agent.beat_clock > extract(epoch from settings.lost_after) * 1000
      and executor.claims_of(agent.id, agent.session) is null
    for update of agent skip locked
  );

  update executor.agents a
  set lost_at = clock_timestamp()
  where a.id in (
    select agent.id
    from executor.agents agent
    cross join executor.settings settings
    cross join executor.clock clock
    where agent.lost_at is null
      and agent.signed_off_at is null
      and agent.beats
      and clock_timestamp() > clock.watching_since + settings.lost_after
      and (
        executor.observed_ms() - agent.beat_clock > extract(epoch from settings.lost_after) * 1000
        or clock_timestamp() > agent.unlocked_at + settings.unlocked_grace
      )
    for update of agent skip locked
  );
end
$$;
comment on function executor.find_lost_agents() is
  'Internal: marks agents as lost that have been silent for too long or lost their session lock.';
