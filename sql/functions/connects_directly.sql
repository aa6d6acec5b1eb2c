-- Whether an agent's connection leads straight here, so that its session's lock may be tied to it.
--
-- p_backend_pid: the process id that the connection was told as it was made (BackendKeyData). A pooler
-- tells one of its own making. In transaction mode it hands every statement to whichever backend is
-- free: a lock would stay with that one, outlive the agent, and stand for strangers.
--
-- Behind a pooler, a lock that counted before counts no more: beats alone then say that the agent
-- lives. (A pooler in session mode would do, but cannot be told from the others.)
create or replace function executor.connects_directly(
  p_agent_id text,
  p_session uuid,
  p_backend_pid integer
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_backend_pid = pg_backend_pid() then
    return true;
  end if;
  update executor.agents
  set session_lock = false, unlocked_at = null
  where id = p_agent_id and session = p_session and session_lock;
  return false;
end
$$;
comment on function executor.connects_directly(text, uuid, integer) is
  'Whether no pooler is between an agent and this database; only then may it hold its session.';
