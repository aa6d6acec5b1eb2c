-- Claims ready commands for an agent's session: tickets and ledger rows, in one statement of its client's.
--
-- p_queues: where to look; each gets twice the share of the next one while both have work, and none
-- starves. p_types: what the agent can carry out (null: all). p_claim_no: this session's number for the
-- claim, kept on the rows (see beat()). p_ahead: how many of p_limit will have to wait for a slot. One that
-- may not be repeated, or that agents were lost with, is not claimed to wait: should this agent be lost, it
-- would pay for what it had no part in. Such ones come first in the answer.
--
-- A look at the heads of the lanes says how many to take from each, so that priority holds across the
-- lanes of a queue. fetch_tickets(), which is pg-boss's own statement, then takes them: SELECT … FOR
-- UPDATE SKIP LOCKED. What another claim is just taking was seen, and not got: then whatever else there
-- is will do, for an agent with free slots must not go away empty-handed.
--
-- Lock order: tickets, then commands.
create or replace function executor.claim(
  p_agent_id text,
  p_session uuid,
  p_claim_no bigint,
  p_queues text[],
  p_types text[],
  p_limit integer,
  p_ahead integer default 0
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
set jit = off
as $$
#variable_conflict use_column
declare
  v_lane record;
  v_seen integer := 0;
  v_ids uuid[] := '{}';
  v_left uuid[];
begin
  for v_lane in
    select head.lane, count(*)::integer as heads
    from (
      select first.lane
      from (
        select
          open.lane,
          open.queue,
          open.weight,
          row_number() over (
            partition by open.queue order by ticket.priority desc, ticket.created_on
          ) as place
        from executor.open_lanes(p_agent_id, p_queues, p_types) as open
        cross join lateral (
          select t.priority, t.created_on
          from executor_queue.job_common t
          where t.name = open.lane
            and t.state < 'active'
            and not t.blocked
            and t.start_after <= now()
          order by t.priority desc, t.created_on
          limit p_limit
        ) as ticket
      ) as first
      join (
        select wanted.queue, random() as luck from unnest(p_queues) as wanted (queue)
      ) as chance using (queue)
      order by (first.place - chance.luck) / first.weight
      limit p_limit
    ) as head
    group by head.lane
  loop
    v_seen := v_seen + v_lane.heads;
    v_ids := v_ids || array(select executor.fetch_tickets(v_lane.lane, v_lane.heads));
  end loop;

  if cardinality(v_ids) < v_seen then
    for v_lane in
      select open.lane from executor.open_lanes(p_agent_id, p_queues, p_types) as open
      order by open.weight desc
    loop
      exit when cardinality(v_ids) >= p_limit;
      v_ids := v_ids || array(
        select executor.fetch_tickets(v_lane.lane, p_limit - cardinality(v_ids))
      );
    end loop;
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

  return query
    select * from executor.start_attempts(v_ids, p_agent_id, p_session, p_claim_no);
end
$$;
comment on function executor.claim(text, uuid, bigint, text[], text[], integer, integer) is
  'Claims up to so many ready commands for an agent''s session, from these queues and of these types.';
