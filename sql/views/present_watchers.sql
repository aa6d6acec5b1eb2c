-- Who wants to be told of changes right now: see watch().
create or replace view executor.present_watchers as
select id
from executor.watchers
where until > clock_timestamp();

comment on view executor.present_watchers is 'Who wants to be told of changes right now.';
