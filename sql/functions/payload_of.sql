-- Ids as a NOTIFY carries them: with spaces between, or `many`, for a payload holds 8,000 bytes.
create or replace function executor.payload_of(p_ids uuid[])
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case when cardinality(p_ids) <= 200 then array_to_string(p_ids, ' ') else 'many' end
$$;
comment on function executor.payload_of(uuid[]) is
  'Internal: ids as a NOTIFY carries them, or "many".';
