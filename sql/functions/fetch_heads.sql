-- Takes the tickets of an agent's next commands where more than one lane has work. Answers the commands.
--
-- A look at the heads of the lanes says how many to take from each, so that priority holds across the
-- lanes of a queue. fetch_tickets(), which is pg-boss's own statement, then takes them: SELECT … FOR
-- UPDATE SKIP LOCKED. What another claim is just taking was seen, and not got: then whatever else there
-- is will do, for an agent with free slots must not go away empty-handed.
create or replace function executor.fetch_heads(
  p_agent_id text,
  p_queues text[],
  p_types text[],
  p_limit integer
)
returns uuid[]
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
  v_many_are_dead boolean := executor.many_are_dead();
  v_ids uuid[] := '{}';
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
          (
            select t.priority, t.created_on
            from executor_queue.job_common t
            where not v_many_are_dead
              and t.name = open.lane
              and t.state < 'active'
              and not t.blocked
              and t.start_after <= now()
            order by t.priority desc, t.created_on
            limit p_limit
          )
          union all
          select head.priority, head.created_on
          from executor.heads_past_dead(open.lane, p_limit) as head
          where v_many_are_dead
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
    if v_many_are_dead then
      v_ids := v_ids || executor.fetch_past_dead(v_lane.lane, v_lane.heads);
    else
      v_ids := v_ids || array(select executor.fetch_tickets(v_lane.lane, v_lane.heads));
    end if;
  end loop;

  if cardinality(v_ids) < v_seen or v_many_are_dead then
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
  return v_ids;
end
$$;
comment on function executor.fetch_heads(text, text[], text[], integer) is
  'Internal: takes the tickets of an agent''s next commands, from the lanes in turn.';
