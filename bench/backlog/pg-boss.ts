// pg-boss's fetch(). Its deferred jobs are in the same table and index as those that wait.

import type { JobWithMetadata } from 'pg-boss';
import { openBoss, pgBoss } from '../peers/pg-boss.ts';
import type { Queue } from './queue.ts';

export const pgBossQueue: Queue = {
  subject: 'pg-boss fetch()',
  peer: pgBoss,
  tables: ['pgboss.job_common'],
  fill: async (client, waiting, deferred) => {
    await client.query(ADD, [deferred, '1 day']);
    await client.query(ADD, [waiting, '0']);
  },
  open: async (url, size) => {
    const boss = await openBoss(url, { max: 2 });
    let claimed: Pick<JobWithMetadata, 'id'>[] = [];
    return {
      claim: async () => (claimed = await boss.fetch('noop', { batchSize: size })).length,
      finish: async () => {
        if (claimed.length > 0)
          await boss.complete(
            'noop',
            claimed.map(({ id }) => id),
          );
      },
      refill: async () => {
        const batch = Array.from({ length: size }, () => ({ data: {} }));
        await boss.insert('noop', batch);
      },
      close: () => boss.stop({ graceful: false }),
    };
  },
};

// As its insert() does.
const ADD = `
  insert into pgboss.job (name, data, priority, start_after, keep_until, policy, created_on)
  select
    'noop', '{}', n % 5 - 2, now() + $2::interval, now() + interval '30 days', 'standard',
    clock_timestamp()
  from generate_series(1, $1::integer) as n`;
