-- The advisory lock that an agent's session holds while its process lives.
create or replace function executor.session_lock_key(p_session uuid)
returns bigint
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select hashtextextended('agent-executor session ' || p_session::text, 0)
$$;
comment on function executor.session_lock_key(uuid) is
  'The key of the advisory lock that shows that an agent''s process lives.';
