-- A command as submit() would take it to do the same again: without its id, keys and times.
create or replace function executor.submission_of(p_command executor.commands)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'type', p_command.type,
    'queue', p_command.queue,
    'target', nullif(jsonb_build_object('agentId', p_command.target_agent_id), '{"agentId": null}'),
    'priority', p_command.priority,
    'timeoutMs', extract(epoch from p_command.timeout) * 1000,
    'maxAttempts', p_command.max_attempts,
    'backoff', jsonb_build_object(
      'initialMs', extract(epoch from p_command.backoff_initial) * 1000,
      'factor', p_command.backoff_factor,
      'maxMs', extract(epoch from p_command.backoff_max) * 1000
    ),
    'delivery', p_command.delivery,
    'tags', to_jsonb(p_command.tags),
    'concurrencyKey', p_command.concurrency_key,
    'retryOf', p_command.id
  )) || jsonb_build_object('payload', p_command.payload, 'metadata', p_command.metadata)
$$;
comment on function executor.submission_of(executor.commands) is
  'Internal: a command as submit() would take it to do the same again.';
