// The limits: the row changes of claiming and finishing, as prepared statements in a loop, with no framework,
// no journal and no agent. In batches as large as our agent's at most, with what it claims ahead.

import { Client } from 'pg';
import { MOST_AHEAD } from '../../agent/lookahead.ts';
import { begin, concurrency, end, mode, url } from './worker.ts';

const PLAIN = {
  claim: `
    with ticket as (
      select ctid as place from bare_tickets
      order by priority desc, created_on
      limit $1
      for update skip locked
    ),
    taken as (
      delete from bare_tickets t where t.ctid = any (array(select place from ticket)) returning t.id
    )
    update bare_commands c
    set status = 'RUNNING', attempt = attempt + 1, agent_id = 'bare', started_at = now(), updated_at = now()
    where id = any (array(select id from taken))
    returning id, payload, attempt`,
  finish: `
    update bare_commands
    set status = 'COMPLETED', result = '{"ok": true}', finished_at = now(), updated_at = now()
    where id = any ($1::uuid[])`,
};

const OURS = {
  claim: `
    with ticket as (
      select j.ctid as place
      from executor_queue.job_common j
      where j.name = (
          select name from executor.lanes where queue = 'default' and type = 'NOOP' and agent_id = ''
        )
        and j.state < 'active'
        and not j.blocked
      order by j.priority desc, j.created_on
      limit $1
      for update skip locked
    ),
    taken as (
      delete from executor_queue.job_common j
      where j.ctid = any (array(select place from ticket))
      returning j.id
    )
    update executor.commands c
    set
      status = 'RUNNING',
      attempt = attempt + 1,
      agent_id = 'bare',
      session = '00000000-0000-4000-8000-000000000001',
      claim_no = 1,
      started_at = now(),
      deadline_at = now() + timeout,
      updated_at = now()
    where id = any (array(select id from taken))
    returning id, payload, attempt`,
  finish: `
    update executor.commands
    set status = 'COMPLETED', result = '{}', finished_at = now(), updated_at = now()
    where id = any ($1::uuid[])`,
};

const { claim: CLAIM, finish: FINISH } = mode === 'ours' ? OURS : PLAIN;

const claims = new Client(url);
const finishes = new Client(url);
await Promise.all([claims.connect(), finishes.connect()]);
for (const client of [claims, finishes])
  await client.query(
    `set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off;
     set enable_hashjoin = off; set enable_mergejoin = off; set plan_cache_mode = force_generic_plan`,
  );

let finishing: Promise<unknown> = Promise.resolve();
for (;;) {
  const { rows } = await claims.query<{ id: string }>({
    name: 'claim',
    text: CLAIM,
    values: [concurrency + MOST_AHEAD],
  });
  if (rows.length === 0) break;
  begin();
  await finishing;
  const values = [rows.map(({ id }) => id)];
  finishing = finishes.query({ name: 'finish', text: FINISH, values }).then(end);
}
await finishing;
await Promise.all([claims.end(), finishes.end()]);
// Until it was asked when it began and ended.
setInterval(() => {}, 60_000);
