// What must hold at every moment, looked at while the hammer strikes.

import { guard } from './connections.ts';
import { repeatedly, type Stage } from './stage.ts';
import { judgeAnswers } from './verdict.ts';

/** I11, I13 and C1 hold after healing only; I14 is looked at without the commands that a hand damaged. */
export async function watch(stage: Stage): Promise<void> {
  const { connections, record } = stage;
  const { pool } = connections.control;
  await repeatedly(stage, 'over', [300, 500], async () => {
    const invariants = await guard(record, 'watch', () =>
      pool.query<{ invariant: string; promise: string; violations: string }>(
        `select * from executor.invariants
         where violations <> 0 and invariant not in ('I11', 'I13', 'I14', 'C1')`,
      ),
    );
    for (const row of invariants?.rows ?? [])
      record.violation(`${row.invariant}, ${row.promise}: ${row.violations} violations`);
    await watchTickets(stage);
    await guard(record, 'watch', () => judgeAnswers(stage, record.takeUnjudged()));
  });
}

async function watchTickets({ connections, record }: Stage): Promise<void> {
  const mismatch = await guard(record, 'watch', () =>
    connections.control.pool.query<{ command_id: string; status: string; ticket_state: string }>(
      'select * from executor.ledger_queue_mismatch where command_id <> all ($1)',
      [[...record.forged]],
    ),
  );
  for (const row of mismatch?.rows ?? [])
    // One may have been damaged since the list was sent.
    if (!record.forged.has(row.command_id))
      record.violation(`${row.status} with ticket ${row.ticket_state}`, row.command_id);
}

/**
 * What would be, had nobody watched for a minute: the clock may then make nobody look dead who was
 * alive before. Rolled back, so that it is nothing but a look. (The lock is the tick's own; with a
 * lost_after of half a second the 6 s that a gap counts for would be too many.)
 */
export async function lookAfterOutage({ connections, record }: Stage): Promise<void> {
  const client = await connections.control.pool.connect();
  try {
    await client.query('begin; select pg_advisory_xact_lock(7018969161888561254)');
    const alive = await client.query<{ id: string }>(
      `select id from executor.agents
       where lost_at is null and signed_off_at is null and executor.observed_ms() - beat_clock < 500`,
    );
    await client.query(`update executor.settings set lost_after = '10 s'`);
    await client.query(`update executor.clock set ticked_at = ticked_at - interval '60 s'`);
    await client.query('select executor.observe(), executor.find_lost_agents()');
    const lost = await client.query(
      'select id from executor.agents where lost_at is not null and id = any ($1)',
      [alive.rows.map(({ id }) => id)],
    );
    record.count('outages looked at');
    if (lost.rows.length > 0)
      record.violation(`an outage of 60 s made ${lost.rows.length} live agents look dead`);
  } finally {
    await client.query('rollback');
    client.release();
  }
}

export async function watchOutages(stage: Stage): Promise<void> {
  await repeatedly(stage, 'healing', [700, 1_200], () =>
    guard(stage.record, 'outage', () => lookAfterOutage(stage)),
  );
}
