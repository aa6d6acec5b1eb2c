// graphile-worker, plain and with its batching: a local queue, and completions together. Both LISTEN.

import { makeWorkerUtils, type WorkerUtils } from 'graphile-worker';
import { Pool } from 'pg';
import { CALLERS, inBatches, startWorker, type Peer, type Submitter } from './peer.ts';

const graphile = (mode: '' | 'batching'): Peer => ({
  subject: mode === 'batching' ? 'graphile-worker, local queue 500' : 'graphile-worker, plain',
  install: (url) => withUtils(url, (utils) => utils.migrate()),
  fill: (url, jobs) => withUtils(url, (utils) => inBatches(jobs, (size) => addMany(utils, size))),
  isDrained: 'select not exists (select from graphile_worker._private_jobs) as drained',
  start: (url, concurrency) => {
    const env = { DATABASE_URL: url, CONCURRENCY: String(concurrency), MODE: mode };
    return Promise.resolve(startWorker('workers/graphile-worker.ts', env));
  },
  pace: (concurrency) => (mode === 'batching' ? 18_000 : concurrency < 10 ? 400 : 1_500),
});

export const graphileBatching = graphile('batching');
export const graphilePlain = graphile('');

export async function addWithGraphile(url: string): Promise<Submitter> {
  const pool = openPool(url);
  const utils = await makeWorkerUtils({ pgPool: pool });
  return {
    one: async (isProbe = false) => (await utils.addJob('noop', isProbe ? { probe: 1 } : {})).id,
    many: (size) => addMany(utils, size),
    close: async () => {
      await utils.release();
      await pool.end();
    },
  };
}

/** Its database may be dropped under it: that is no error that anybody need hear of. */
export function openPool(url: string): Pool {
  const pool = new Pool({ connectionString: url, max: CALLERS });
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

function addMany(utils: WorkerUtils, length: number): Promise<unknown> {
  return utils.addJobs(Array.from({ length }, () => ({ identifier: 'noop', payload: {} })));
}

async function withUtils<T>(url: string, act: (utils: WorkerUtils) => Promise<T>): Promise<void> {
  const utils = await makeWorkerUtils({ connectionString: url });
  try {
    await act(utils);
  } finally {
    await utils.release();
  }
}
