// One agent with 100 slots on a backlog of DELAY 0: claim, execution and finish.

import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../db/connect.ts';
import { submit } from '../tests/support/session.ts';
import { startProcess } from './processes.ts';

const COMMANDS = 60_000;

export async function throughput(url: string): Promise<string[]> {
  const database = connect(url, { applicationName: 'bench', max: 1 });
  for (let sent = 0; sent < COMMANDS; sent += 1_000) await submit(database, 1_000);
  await using _agent = await startProcess('agent', url, { CONCURRENCY: '100' });
  for (;;) {
    await sleep(250);
    const { rows } = await database.pool.query<{ live: boolean }>(
      `select exists (select from executor_queue.job) as live`,
    );
    if (!rows[0]?.live) break;
  }
  const { rows } = await database.pool.query<{ seconds: number }>(
    `select extract(epoch from max(finished_at) - min(started_at))::float8 as seconds
     from executor.commands`,
  );
  await database.close();
  return [`${(COMMANDS / (rows[0]?.seconds ?? NaN)).toFixed(0)} commands/s`];
}
