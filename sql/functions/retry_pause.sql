-- The pause before a retry: exponential backoff with full jitter.
--
-- Drawn from 0 to min(max, initial × factor ^ failures before this one), in logarithms because the
-- power overflows. Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
create or replace function executor.retry_pause(
  p_initial interval,
  p_factor double precision,
  p_max interval,
  p_failures integer
)
returns interval
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select case
    when p_initial = interval '0' or p_max = interval '0' then interval '0'
    else make_interval(secs => random() * exp(least(
      ln(extract(epoch from p_initial)::double precision) + p_failures * ln(p_factor),
      ln(extract(epoch from p_max)::double precision)
    )))
  end
$$;
comment on function executor.retry_pause(interval, double precision, interval, integer) is
  'The pause before a retry, after so many earlier failures: exponential backoff with full jitter.';
