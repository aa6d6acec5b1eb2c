// Ours: executor.claim() as an agent calls it. The ledger is filled in SQL, row by row as submit() would.

import type { Client } from 'pg';
import { connect } from '../../db/connect.ts';
import { startSession, submit } from '../../tests/support/session.ts';
import { OURS } from '../measurement.ts';
import { ours } from '../peers/ours.ts';
import type { Queue } from './queue.ts';

/** Rows in one transaction. */
const CHUNK = 100_000;

export const ourQueue: Queue = {
  subject: OURS,
  peer: ours,
  tables: ['executor.commands', 'executor_queue.job_common'],
  fill: fillLedger,
  open: async (url, size) => {
    const database = { ...connect(url, { applicationName: 'bench', max: 2 }), url };
    const session = await startSession(database);
    let claimed: Awaited<ReturnType<typeof session.claim>> = [];
    return {
      claim: async () => (claimed = await session.claim(size)).length,
      finish: async () => void (await session.complete(claimed)),
      refill: async () => void (await submit(database, size)),
      close: async () => {
        await session[Symbol.asyncDispose]();
        await database.close();
      },
    };
  },
};

/** PENDING commands with their tickets, and SCHEDULED ones. */
export async function fillLedger(client: Client, waiting: number, deferred: number): Promise<void> {
  for (let added = 0; added < waiting; added += CHUNK)
    await client.query(ADD_WAITING, [Math.min(CHUNK, waiting - added)]);
  for (let added = 0; added < deferred; added += CHUNK)
    await client.query(ADD_DEFERRED, [Math.min(CHUNK, deferred - added)]);
}

const columns = (status: string, runAt: string, priority: string) => `
  insert into executor.commands
    (id, type, queue, lane, status, priority, payload, timeout, run_at, created_at, updated_at)
  select
    executor.uuid_v7(), 'DELAY', 'default', l.name, '${status}', ${priority}, '{"ms": 0}', '5 minutes', ${runAt},
    clock_timestamp(), clock_timestamp()
  from generate_series(1, $1) as n
  join executor.lanes l on l.queue = 'default' and l.type = 'DELAY' and l.agent_id = ''
  returning id`;

const ADD_WAITING = `
  with added as (${columns('PENDING', 'null', 'n % 5 - 2')})
  select executor.write_tickets(array_agg(id)) from added`;

const ADD_DEFERRED = columns('SCHEDULED', `now() + interval '1 day'`, '0');
