// A pg-boss worker, with what its documentation recommends for throughput: batches, several at once.

import { PgBoss } from 'pg-boss';
import { begin, concurrency, end, url } from './worker.ts';

const boss = new PgBoss({ connectionString: url, supervise: false, schedule: false, max: 10 });
boss.on('error', (error) => console.error(error));
await boss.start();
// One at a time it would wait half a second after each: a burst needs batches.
const batchSize = Math.min(Math.max(concurrency, 10), 100);
await boss.work(
  'noop',
  {
    batchSize,
    localConcurrency: concurrency >= 100 ? 4 : 1,
    pollingIntervalSeconds: 0.5,
    burstWhenBatchFull: true,
  },
  async (jobs: unknown[]) => {
    begin();
    await Promise.resolve();
    end();
    return { ok: true, jobs: jobs.length };
  },
);
