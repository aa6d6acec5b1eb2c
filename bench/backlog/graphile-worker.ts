// graphile-worker's own statement for its local queue. It has no function of its API for that, so the module
// that its worker uses is called with what that gives it.

import { makeWorkerUtils } from 'graphile-worker';
import { batchCompleteJobs } from '../../node_modules/graphile-worker/dist/sql/completeJobs.js';
import { batchGetJobs } from '../../node_modules/graphile-worker/dist/sql/getJobs.js';
import { graphilePlain, openPool } from '../peers/graphile-worker.ts';
import type { Queue } from './queue.ts';

type Shared = Parameters<typeof batchGetJobs>[0];
type WithClient = Parameters<typeof batchGetJobs>[1];

const SCHEMA = { workerSchema: 'graphile_worker', escapedWorkerSchema: '"graphile_worker"' };
const WORKER = { preparedStatements: true, useNodeTime: false };

export const graphileQueue: Queue = {
  subject: 'graphile-worker, local queue',
  peer: graphilePlain,
  tables: ['graphile_worker._private_jobs'],
  fill: async (client, waiting, deferred) => {
    await client.query(`insert into graphile_worker._private_tasks (identifier) values ('noop')
      on conflict do nothing`);
    await client.query(ADD, [deferred, '1 day']);
    await client.query(ADD, [waiting, '0']);
  },
  open: async (url, size) => {
    const pool = openPool(url);
    const utils = await makeWorkerUtils({ pgPool: pool });
    const call = async (act: (client: unknown) => unknown) => {
      const client = await pool.connect();
      try {
        return await act(client);
      } finally {
        client.release();
      }
    };
    const withClient = Object.assign(call, { withRetries: call }) as unknown as WithClient;
    const shared = { ...SCHEMA, resolvedPreset: { worker: WORKER } } as unknown as Shared;
    let claimed: Awaited<ReturnType<typeof batchGetJobs>> = [];
    return {
      claim: async () => {
        claimed = await batchGetJobs(shared, withClient, { noop: () => {} }, 'bench', null, size);
        return claimed.length;
      },
      finish: () => batchCompleteJobs(shared, withClient, 'bench', claimed),
      refill: async () => {
        const batch = Array.from({ length: size }, () => ({ identifier: 'noop', payload: {} }));
        await utils.addJobs(batch);
      },
      close: async () => {
        await utils.release();
        await pool.end();
      },
    };
  },
};

// As its add_jobs() does; the lower number is claimed first.
const ADD = `
  insert into graphile_worker._private_jobs (task_id, payload, priority, run_at, max_attempts)
  select t.id, '{}', n % 5 - 2, now() + $2::interval, 25
  from generate_series(1, $1::integer) as n
  join graphile_worker._private_tasks t on t.identifier = 'noop'`;
