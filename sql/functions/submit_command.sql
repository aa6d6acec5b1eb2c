-- For people in psql: select executor.submit_command('DELAY', '{"ms": 50}');
create or replace function executor.submit_command(
  p_type text,
  p_payload jsonb default '{}',
  p_queue text default 'default',
  p_priority integer default 0
)
returns uuid
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select executor.submit(jsonb_build_array(jsonb_build_object(
    'id', executor.uuid_v7(),
    'type', p_type,
    'payload', p_payload,
    'queue', p_queue,
    'priority', p_priority
  )))
$$;
comment on function executor.submit_command(text, jsonb, text, integer) is
  'Submits one command and answers its id: select executor.submit_command(''DELAY'', ''{"ms": 50}'');';
