-- An agent process starts: its session becomes the agent's one live session.
--
-- What an older session of the same id still held is taken back and offered again at once (attempts
-- closed as lost; that counts towards poison only if the older process is gone: two hosts with one id
-- must not poison innocents). The older process learns of it at its next beat. Repeating the call is
-- harmless.
--
-- p_beats: whether it will show signs of life while it runs something. p_queues, p_types: see open_lanes().
--
-- Answers how many commands went back to the queue.
--
-- Lock order: the agent, then tickets, then commands.
create or replace function executor.register_agent(
  p_agent_id text,
  p_session uuid,
  p_concurrency integer,
  p_host text default null,
  p_pid integer default null,
  p_version text default null,
  p_queues text[] default '{default}',
  p_types text[] default '{}',
  p_beats boolean default true
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old record;
  v_taken_back integer := 0;
begin
  insert into executor.agents as a
    (
      id, session, registered_at, beat_at, beat_clock, concurrency, host, pid, version, queues,
      types, beats
    )
  values (
    p_agent_id,
    p_session,
    clock_timestamp(),
    clock_timestamp(),
    executor.observed_ms(),
    p_concurrency,
    p_host,
    p_pid,
    p_version,
    p_queues,
    p_types,
    p_beats
  )
  on conflict (id) do update
  set
    session = excluded.session,
    registered_at = excluded.registered_at,
    beat_at = excluded.beat_at,
    beat_clock = excluded.beat_clock,
    session_lock = false,
    unlocked_at = null,
    lost_at = null,
    signed_off_at = null,
    running = 0,
    draining = false,
    beats = excluded.beats,
    has_beaten = false,
    concurrency = excluded.concurrency,
    host = excluded.host,
    pid = excluded.pid,
    version = excluded.version,
    queues = excluded.queues,
    types = excluded.types
  where a.session <> excluded.session or a.signed_off_at is not null;

  for v_old in
    select distinct session
    from executor.commands
    where agent_id = p_agent_id and status = 'RUNNING' and session <> p_session
  loop
    v_taken_back := v_taken_back + (
      select count(*)
      from executor.close_attempts(
        v_old.session,
        executor.claims_of(p_agent_id, v_old.session),
        'lost',
        p_counts => executor.session_lock_key(v_old.session) <> all (executor.held_session_locks())
      )
    );
  end loop;
  return v_taken_back;
end
$$;
comment on function executor.register_agent(text, uuid, integer, text, integer, text, text[], text[], boolean) is
  'Starts an agent''s session and supersedes its older one; answers how many commands that gave back.';
