-- How long one attempt of a command may take: the type's default, plus the payload member it names.
create or replace function executor.attempt_timeout(p_type executor.command_types, p_payload jsonb)
returns interval
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select p_type.default_timeout + case
    when jsonb_typeof(p_payload -> p_type.timeout_payload_key) = 'number'
    then make_interval(
      secs => greatest(0, least(
        (p_payload ->> p_type.timeout_payload_key)::numeric / 1000, 1e9
      ))::double precision
    )
    else interval '0'
  end
$$;
comment on function executor.attempt_timeout(executor.command_types, jsonb) is
  'How long one attempt may take: the type''s default plus the payload member that the type names.';
