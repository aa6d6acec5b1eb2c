-- Publishes command types' contracts; a row changes only where its contract did.
--
-- p_types: [{"type", "description", "payloadSchema", "resultSchema", "defaultTimeoutMs",
-- "timeoutPayloadKey"}].
create or replace function executor.publish_types(p_types jsonb)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into executor.command_types as t
    (type, description, payload_schema, result_schema, default_timeout, timeout_payload_key)
  select
    item ->> 'type',
    item ->> 'description',
    item -> 'payloadSchema',
    item -> 'resultSchema',
    make_interval(secs => (item ->> 'defaultTimeoutMs')::double precision / 1000),
    item ->> 'timeoutPayloadKey'
  from jsonb_array_elements(p_types) as item
  order by 1
  on conflict (type) do update
  set
    description = excluded.description,
    payload_schema = excluded.payload_schema,
    result_schema = excluded.result_schema,
    default_timeout = excluded.default_timeout,
    timeout_payload_key = excluded.timeout_payload_key,
    updated_at = now()
  where
    (t.description, t.payload_schema, t.result_schema, t.default_timeout, t.timeout_payload_key)
    is distinct from (
      excluded.description,
      excluded.payload_schema,
      excluded.result_schema,
      excluded.default_timeout,
      excluded.timeout_payload_key
    )
$$;
comment on function executor.publish_types(jsonb) is 'Publishes command types'' contracts.';
