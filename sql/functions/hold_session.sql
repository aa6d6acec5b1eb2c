-- Ties an agent's life to this connection: when its process dies, the kernel closes the socket,
-- Postgres ends the backend, the lock goes, and recover() sees that within a tick.
--
-- Over a direct connection only (see connects_directly()): behind a pooler in transaction mode the
-- lock would leak. Answers false while another connection (a half-open one of this very session, say) still holds the lock;
-- the caller asks again at its next beat. Until then the lock says nothing about the agent: the other
-- connection may end at any moment.
create or replace function executor.hold_session(p_agent_id text, p_session uuid)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if not pg_try_advisory_lock(executor.session_lock_key(p_session)) then
    update executor.agents
    set session_lock = false, unlocked_at = null
    where id = p_agent_id and session = p_session and session_lock;
    return false;
  end if;
  update executor.agents
  set session_lock = true, unlocked_at = null
  where id = p_agent_id and session = p_session;
  return true;
end
$$;
comment on function executor.hold_session(text, uuid) is
  'Takes the lock that shows that an agent''s process lives; for its own, direct connection.';
