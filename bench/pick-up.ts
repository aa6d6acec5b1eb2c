// How soon an idle system of one server and two agents starts what came over REST: from the arrival of the
// 201 to the claim's time in the ledger (the same machine's clock), and from submission to the finished row.

import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../db/connect.ts';
import type { Context } from './context.ts';
import { durationsOf, OURS, type Measurement } from './measurement.ts';
import { startProcess } from './processes.ts';

const COMMANDS = { full: 300, quick: 60 };

export async function pickUp(context: Context): Promise<Measurement[]> {
  await using bench = await context.migrated();
  const database = connect(bench.url, { applicationName: 'bench', max: 1 });
  await using server = await startProcess('server', bench.url);
  await using _agent1 = await startProcess('agent', bench.url);
  await using _agent2 = await startProcess('agent', bench.url);
  const answeredAt = new Map<string, number>();
  for (let i = 0; i < (context.quick ? COMMANDS.quick : COMMANDS.full); i += 1) {
    const response = await fetch(`${server.ready}/commands`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{"type":"DELAY","payload":{"ms":0}}',
    });
    const now = performance.timeOrigin + performance.now();
    const { commandId } = (await response.json()) as { commandId: string };
    answeredAt.set(commandId, now);
    await sleep(20 + 40 * Math.random());
  }
  const { rows } = await database.pool.query<{ id: string; started: number; total: number }>(`
    select
      id,
      extract(epoch from started_at)::float8 * 1000 as started,
      extract(epoch from finished_at - created_at)::float8 * 1000 as total
    from executor.commands
    where status = 'COMPLETED'`);
  await database.close();
  const sinceAnswer = rows.map((row) => row.started - (answeredAt.get(row.id) ?? NaN));
  const inAll = rows.map((row) => row.total);
  return [
    ...durationsOf('over REST, from the 201 to the start', OURS, [sinceAnswer]),
    ...durationsOf('over REST, from submission to the result', OURS, [inAll]),
  ];
}
