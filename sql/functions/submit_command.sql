-- For people in psql: select executor.submit_command('DELAY', '{"ms": 50}');
--
-- p_options: {"queue", "priority", "runAt" or "delayMs", "timeoutMs", "maxAttempts", "backoff", "delivery",
-- "tags", "metadata", "concurrencyKey", "idempotencyKey"}, as submit() takes them.
create or replace function executor.submit_command(
  p_type text,
  p_payload jsonb default '{}',
  p_options jsonb default '{}'
)
returns uuid
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select executor.submit(jsonb_build_array(p_options || jsonb_build_object(
    'id', executor.uuid_v7(),
    'type', p_type,
    'payload', p_payload
  )))
$$;
comment on function executor.submit_command(text, jsonb, jsonb) is
  'Submits one command and answers its id: select executor.submit_command(''DELAY'', ''{"ms": 50}'', '
  '''{"delayMs": 2000}'');';
