// A pg-boss worker, with the settings that did best here: batches that go on while they are full (one at a time
// it would wait half a second after each job). MODE says which: of 100, four at once where there are a hundred
// slots; two of 500 (large); or LISTEN/NOTIFY, where one at a time is the soonest (listening).

import { PgBoss } from 'pg-boss';
import { begin, concurrency, end, mode, url } from './worker.ts';

const isListening = mode === 'listening';
const boss = new PgBoss({
  connectionString: url,
  supervise: false,
  schedule: false,
  max: 10,
  useListenNotify: isListening,
});
boss.on('error', (error) => console.error(error));
await boss.start();
const isLarge = mode === 'large';
const atOnce = concurrency >= 100 && !isListening ? 4 : 1;
await boss.work<{ probe?: number }>(
  'noop',
  {
    batchSize: isLarge ? 500 : 100,
    localConcurrency: isLarge ? 2 : atOnce,
    pollingIntervalSeconds: 0.5,
    burstWhenBatchFull: true,
  },
  async (jobs) => {
    begin();
    for (const { id, data } of jobs) if (data.probe) begin(id);
    await Promise.resolve();
    end();
    return { ok: true, jobs: jobs.length };
  },
);
