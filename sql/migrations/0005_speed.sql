-- Claims that run ahead of free slots.

-- The signatures of these have grown.
drop function if exists executor.claim(text, uuid, bigint, text[], text[], integer);
