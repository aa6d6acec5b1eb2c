-- Claims ready commands for an agent's session: tickets and ledger rows, in one statement of its client's.
--
-- p_queues: where to look; each gets twice the share of the next one while both have work, and none
-- starves. p_types: what the agent can carry out (null: all). p_claim_no: this session's number for the
-- claim, kept on the rows (see beat()). p_ahead: how many of p_limit will have to wait for a slot. One that
-- may not be repeated, or that agents were lost with, is not claimed to wait: should this agent be lost, it
-- would pay for what it had no part in. Such ones come first in the answer. p_taken: starts these, whose
-- tickets the caller has just taken, instead of any others.
--
-- Lock order: tickets, then commands.
create or replace function executor.claim(
  p_agent_id text,
  p_session uuid,
  p_claim_no bigint,
  p_queues text[],
  p_types text[],
  p_limit integer,
  p_ahead integer default 0,
  p_taken uuid[] default null
)
returns table (
  id uuid,
  type text,
  payload jsonb,
  attempt integer,
  timeout_ms double precision,
  cancel_requested boolean
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
as $$
#variable_conflict use_column
declare
  -- Where there is work. Looked for from the end, as what was claimed and not vacuumed yet is at the beginning.
  v_lanes text[] := array(
    select open.lane
    from executor.open_lanes(p_agent_id, p_queues, p_types) as open
    where exists (
      select
      from executor_queue.job_common t
      where t.name = open.lane
        and t.state < 'active'
        and not t.blocked
        and t.start_after <= now()
      order by t.priority, t.created_on desc
      -- Lane by lane: to a planner that saw the tickets' table empty, joining looks cheaper.
      limit 1 offset 0
    )
  );
  v_ids uuid[] := '{}';
  v_left uuid[];
begin
  if p_taken is not null then
    v_ids := p_taken;
  elsif cardinality(v_lanes) = 1 then
    if executor.many_are_dead() then
      v_ids := executor.fetch_past_dead(v_lanes[1], p_limit);
    else
      v_ids := array(select executor.fetch_tickets(v_lanes[1], p_limit));
    end if;
  elsif v_lanes <> '{}' then
    v_ids := executor.fetch_heads(p_agent_id, p_queues, p_types, p_limit);
  end if;
  if cardinality(v_ids) = 0 then
    return;
  end if;

  if cardinality(v_ids) > p_limit - p_ahead then
    v_left := array(
      select c.id
      from executor.commands c
      where c.id = any (v_ids) and (c.delivery = 'at_most_once' or c.losses > 0)
      order by c.priority desc, c.id
      offset p_limit - p_ahead
    );
    if v_left <> '{}' then
      perform executor.offer(v_left);
      v_ids := array(select unnest(v_ids) except select unnest(v_left));
    end if;
  end if;

  -- `status = 'PENDING'` is essential: without it a stray ticket would revive a finished command.
  return query
    with started as (
      update executor.commands c
      set
        status = 'RUNNING',
        attempt = c.attempt + 1,
        agent_id = p_agent_id,
        session = p_session,
        claim_no = p_claim_no,
        started_at = clock_timestamp(),
        deadline_at = clock_timestamp() + c.timeout,
        updated_at = clock_timestamp()
      where c.id = any (v_ids) and c.status::text = 'PENDING'
      returning
        c.id, c.type, c.payload, c.attempt, c.timeout, c.cancel_requested_at, c.priority,
        c.delivery = 'at_most_once' or c.losses > 0 as may_not_wait
    )
    select
      s.id,
      s.type,
      s.payload::jsonb,
      s.attempt,
      date_part('epoch', s.timeout::interval) * 1000,
      s.cancel_requested_at is not null
    from started s
    order by s.may_not_wait desc, s.priority desc, s.id;
  perform executor.announce_changes(v_ids);
end
$$;
comment on function executor.claim(text, uuid, bigint, text[], text[], integer, integer, uuid[]) is
  'Claims up to so many ready commands for an agent''s session, from these queues and of these types.';
