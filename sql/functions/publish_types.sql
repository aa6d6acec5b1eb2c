-- Publishes command types' contracts; a row changes only where its contract did.
--
-- p_built_in: whether they come with this code; what does is no agent's to publish (error ZX010).
--
-- p_types: [{"type", "description", "payloadSchema", "resultSchema", "defaultTimeoutMs",
-- "timeoutPayloadKey"}].
create or replace function executor.publish_types(p_types jsonb, p_built_in boolean default false)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_type text;
begin
  select t.type into v_type
  from executor.command_types t
  where t.built_in
    and not p_built_in
    and t.type in (select item ->> 'type' from jsonb_array_elements(p_types) as item)
  limit 1;
  if found then
    raise exception 'type % is built in', quote_literal(v_type) using errcode = 'ZX010';
  end if;

  insert into executor.command_types as t
    (
      type, description, payload_schema, result_schema, default_timeout, timeout_payload_key, built_in
    )
  select
    item ->> 'type',
    item ->> 'description',
    item -> 'payloadSchema',
    item -> 'resultSchema',
    make_interval(secs => (item ->> 'defaultTimeoutMs')::double precision / 1000),
    item ->> 'timeoutPayloadKey',
    p_built_in
  from jsonb_array_elements(p_types) as item
  order by 1
  on conflict (type) do update
  set
    description = excluded.description,
    payload_schema = excluded.payload_schema,
    result_schema = excluded.result_schema,
    default_timeout = excluded.default_timeout,
    timeout_payload_key = excluded.timeout_payload_key,
    built_in = excluded.built_in,
    updated_at = now()
  where
    (
      t.description,
      t.payload_schema,
      t.result_schema,
      t.default_timeout,
      t.timeout_payload_key,
      t.built_in
    )
    is distinct from (
      excluded.description,
      excluded.payload_schema,
      excluded.result_schema,
      excluded.default_timeout,
      excluded.timeout_payload_key,
      excluded.built_in
    );
end
$$;
comment on function executor.publish_types(jsonb, boolean) is 'Publishes command types'' contracts.';
