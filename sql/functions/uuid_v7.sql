-- A UUIDv7 on every supported PostgreSQL (uuidv7() is built in from 18 only).
--
-- Layout of RFC 9562: 48 bits of Unix milliseconds, 12 bits of the millisecond's fraction (so that
-- ids of one session sort by time), 62 random bits.
create or replace function executor.uuid_v7()
returns uuid
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  with stamp as (
    select (extract(epoch from clock_timestamp()) * 1000000)::bigint as us
  ),
  bytes as (
    select overlay(
      uuid_send(gen_random_uuid())
      placing substring(int8send(us / 1000) from 3)
        || substring(int8send(28672 + (us % 1000) * 4096 / 1000) from 7)
      from 1 for 8
    ) as b
    from stamp
  )
  select encode(b, 'hex')::uuid from bytes
$$;
comment on function executor.uuid_v7() is 'A UUIDv7: time-ordered, on PostgreSQL 15 as on 18.';
