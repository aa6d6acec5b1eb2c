-- How claims get past many dead tickets: claimed ones that vacuum has yet to take away. They are at the beginning of
-- their lane; to walk past a hundred thousand takes a millisecond, and ten times as long while an old snapshot (a
-- dump's, a replica's) keeps them from being marked as dead.
--
-- So each connection remembers for half a second where a lane begins. What has a higher priority comes first all
-- the same. What comes in before that place, as what is given back does, waits for half a second, or until there is
-- too little behind it: then all is looked at.
create or replace function executor.many_are_dead()
returns boolean
language sql
stable
begin atomic
  select pg_stat_get_dead_tuples(to_regclass('executor_queue.job_common')) >= 10000;
end;
comment on function executor.many_are_dead() is
  'Internal: whether claims have many dead tickets to get past.';

-- Where a lane begins, or began up to half a second ago; nulls where there is nothing.
create or replace function executor.first_place(
  p_lane text,
  out priority integer,
  out created_on timestamptz
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_name text := 'executor.first_place_of_' || p_lane;
  -- Priority, time, and until when to go by them; times in µs since 1970.
  v_known text[] := string_to_array(current_setting(v_name, true), ' ');
  v_now bigint := extract(epoch from clock_timestamp()) * 1000000;
  v_priority integer;
begin
  if v_now < v_known[3]::bigint then
    v_priority := v_known[1];
    if not exists (
      select
      from executor_queue.job_common t
      where t.name = p_lane and t.state < 'active' and not t.blocked and t.priority > v_priority
      offset 0
    ) then
      priority := v_priority;
      created_on := timestamptz 'epoch' + v_known[2]::bigint * interval '1 microsecond';
      return;
    end if;
  end if;
  select t.priority, t.created_on
  into priority, created_on
  from executor_queue.job_common t
  where t.name = p_lane and t.state < 'active' and not t.blocked
  order by t.priority desc, t.created_on
  limit 1;
  if found then
    perform set_config(
      v_name,
      concat_ws(
        ' ', priority, (extract(epoch from created_on) * 1000000)::bigint, v_now + 500000
      ),
      false
    );
  end if;
end
$$;
comment on function executor.first_place(text) is
  'Internal: where a lane begins, or began up to half a second ago.';

-- fetch_tickets(), but past what is dead.
create or replace function executor.fetch_past_dead(p_lane text, p_limit integer)
returns uuid[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_first record := executor.first_place(p_lane);
  v_ids uuid[] := array(
    select executor.fetch_tickets_from(p_lane, p_limit, v_first.priority, v_first.created_on)
  );
begin
  if cardinality(v_ids) < p_limit then
    v_ids := v_ids || array(select executor.fetch_tickets(p_lane, p_limit - cardinality(v_ids)));
  end if;
  return v_ids;
end
$$;
comment on function executor.fetch_past_dead(text, integer) is
  'Internal: takes tickets of a lane that has many dead ones before its first.';

-- The first tickets of a lane, in order, but for those of the first place's priority that came in before it.
create or replace function executor.heads_past_dead(p_lane text, p_limit integer)
returns table (priority integer, created_on timestamptz)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_first record := executor.first_place(p_lane);
  v_found integer;
begin
  return query
    select t.priority, t.created_on
    from executor_queue.job_common t
    where t.name = p_lane
      and t.state < 'active'
      and not t.blocked
      and t.priority = v_first.priority
      and t.created_on >= v_first.created_on
    order by t.priority desc, t.created_on
    limit p_limit;
  get diagnostics v_found = row_count;
  return query
    select t.priority, t.created_on
    from executor_queue.job_common t
    where t.name = p_lane and t.state < 'active' and not t.blocked and t.priority < v_first.priority
    order by t.priority desc, t.created_on
    limit p_limit - v_found;
end
$$;
comment on function executor.heads_past_dead(text, integer) is
  'Internal: the first tickets of a lane that has many dead ones before them.';
