// A graphile-worker, plain or with its batching (MODE=batching): a local queue, and completions together.

import { Logger, run } from 'graphile-worker';
import { begin, concurrency, end, mode, url } from './worker.ts';

const { events } = await run({
  connectionString: url,
  concurrency,
  maxPoolSize: 10,
  pollInterval: 500,
  noHandleSignals: true,
  // It says that ten connections are few; here more are slower.
  logger: new Logger(() => () => {}),
  taskList: {
    noop: (payload, { job }) => {
      begin((payload as { probe?: number }).probe ? job.id : undefined);
    },
  },
  ...(mode === 'batching' && {
    preset: {
      worker: {
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
  }),
});
events.on('job:complete', end);
