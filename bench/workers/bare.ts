// The limit: the row changes of claiming and finishing, as prepared statements in a loop, with no framework,
// no journal and no agent. The same batch for both.

import { Client } from 'pg';
import { begin, concurrency, end, url } from './worker.ts';

const CLAIM = `
  with ticket as (
    select id from bare_tickets
    where state = 'created'
    order by priority desc, created_on
    limit $1
    for update skip locked
  ),
  taken as (
    update bare_tickets t set state = 'active', started_on = now()
    where id = any (array(select id from ticket))
    returning t.id
  )
  update bare_commands c
  set status = 'RUNNING', attempt = attempt + 1, agent_id = 'bare', started_at = now(), updated_at = now()
  where id = any (array(select id from taken))
  returning id, payload, attempt`;

const FINISH = `
  with gone as (delete from bare_tickets where id = any ($1::uuid[]))
  update bare_commands
  set status = 'COMPLETED', result = '{"ok": true}', finished_at = now(), updated_at = now()
  where id = any ($1::uuid[])`;

const claims = new Client(url);
const finishes = new Client(url);
await Promise.all([claims.connect(), finishes.connect()]);
await claims.query(
  'set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off',
);
await finishes.query(
  'set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off',
);

let finishing: Promise<unknown> = Promise.resolve();
for (;;) {
  const { rows } = await claims.query<{ id: string }>({
    name: 'claim',
    text: CLAIM,
    values: [concurrency],
  });
  if (rows.length === 0) break;
  begin();
  await finishing;
  finishing = finishes.query({ name: 'finish', text: FINISH, values: [rows.map(({ id }) => id)] });
}
await finishing;
end();
await Promise.all([claims.end(), finishes.end()]);
// Until it was asked when it began and ended.
setInterval(() => {}, 60_000);
