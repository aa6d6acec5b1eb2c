-- The keys of all advisory locks that are held in this database: pg_locks is readable for everyone.
create or replace function executor.held_session_locks()
returns bigint[]
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg((classid::bigint << 32) | objid::bigint), '{}')
  from pg_locks
  where locktype = 'advisory'
    and objsubid = 1
    and granted
    and database = (select oid from pg_database where datname = current_database())
$$;
comment on function executor.held_session_locks() is
  'Internal: the keys of the advisory locks that are held in this database.';
