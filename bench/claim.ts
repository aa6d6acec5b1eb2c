// A claim of 64 where statistics are wrong: the queue was drained and analysed, then 300,000 commands
// came, and nothing has analysed since.

import { connect } from '../db/connect.ts';
import { startSession, submit } from '../tests/support/session.ts';
import { distribution, timed } from './distribution.ts';

const BACKLOG = 300_000;
const CLAIMS = 100;

export async function claimAfterBurst(url: string): Promise<string[]> {
  const database = { ...connect(url, { applicationName: 'bench', max: 2 }), url };
  const session = await startSession(database);
  await submit(database, 1_000);
  await session.complete(await session.claim(1_000));
  for (const table of ['executor.commands', 'executor_queue.job_common']) {
    await database.pool.query(`vacuum analyze ${table}`);
    await database.pool.query(`alter table ${table} set (autovacuum_enabled = false)`);
  }
  for (let sent = 0; sent < BACKLOG; sent += 1_000) await submit(database, 1_000);

  const claims: number[] = [];
  const finishes: number[] = [];
  for (let i = 0; i < CLAIMS; i += 1) {
    let claimed: Awaited<ReturnType<typeof session.claim>> = [];
    claims.push(await timed(async () => (claimed = await session.claim(64))));
    finishes.push(await timed(() => session.complete(claimed)));
  }
  await session[Symbol.asyncDispose]();
  await database.close();
  return [
    `claim of 64 at ${BACKLOG} waiting: ${distribution(claims)}`,
    `finish of 64: ${distribution(finishes)}`,
  ];
}
