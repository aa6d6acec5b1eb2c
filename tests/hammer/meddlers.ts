// Those who meddle: two tickers, a repairer, a hand in the tickets, and one who ends backends.

import { guard, VICTIM } from './connections.ts';
import { pause, repeatedly, strikes, type Stage } from './stage.ts';

export async function tick(stage: Stage): Promise<void> {
  const { connections, record } = stage;
  await repeatedly(stage, 'over', [0, 20], () =>
    guard(record, 'tick', () => connections.scheduled.pool.query('call executor.tick(null)')),
  );
}

/** Repairs beside the ticks, and single commands at moments when nothing is wrong with them. */
export async function repair(stage: Stage): Promise<void> {
  const { connections, record, random } = stage;
  const { pool } = connections.scheduled;
  await repeatedly(stage, 'healing', [1, 30], async () => {
    const id = random.pick([...record.submitted.keys()].slice(-200));
    if (random.chance(0.1))
      await guard(record, 'repair', () => pool.query('select executor.repair()'));
    else await guard(record, 'repair', () => pool.query('select executor.repair_one($1)', [id]));
  });
}

/** Forges tickets for what is done or deferred, and tears out those of what is alive. */
export async function damage(stage: Stage): Promise<void> {
  const { connections, record, random } = stage;
  await repeatedly(stage, 'healing', [100, 400], async () => {
    const id = random.pick([...record.submitted.keys()].slice(-200));
    if (id === undefined) return;
    record.forged.add(id);
    const statement = random.chance(0.7) ? FORGE : TEAR;
    const done = await guard(record, 'damage', () =>
      connections.control.pool.query(statement, [id]),
    );
    if (done?.rowCount) record.note(id, statement === FORGE ? 'ticket forged' : 'ticket torn out');
    record.count('damaged', done?.rowCount ?? 0);
  });
}

const FORGE = `
  insert into executor_queue.job (id, name, start_after)
  select id, lane, '-infinity' from executor.commands
  where id = $1 and (status in ('COMPLETED', 'FAILED') or status = 'SCHEDULED' and attempt = 0)
  on conflict do nothing`;

const TEAR = `
  delete from executor_queue.job
  where (name, id) = (
    select name, id from executor_queue.job
    where name = (select lane from executor.commands where id = $1) and id = $1
    for update skip locked
  )`;

/** Pauses and resumes a queue, drains and resumes agents; while the hammer heals, nothing is held up. */
export async function holdUp(stage: Stage): Promise<void> {
  const { connections, record, random } = stage;
  const call = (name: string, text: string, values: unknown[] = []) =>
    guard(record, name, () => connections.control.pool.query(text, values));
  await repeatedly(stage, 'healing', [50, 300], async () => {
    const agentId = `agent-${random.between(0, 7)}`;
    await call('pause', `select executor.pause_queue('side')`);
    await call('drain', 'select executor.drain_agent($1)', [agentId]);
    await pause(stage, 0, 200);
    await call('resume', `select executor.resume_queue('side')`);
    await call('resume', 'select executor.resume_agent($1)', [agentId]);
    record.count('held up');
  });
}

/** Ends one of the hammer's own backends, in whatever it does. */
export async function terminate(stage: Stage): Promise<void> {
  const { connections, record, random } = stage;
  await repeatedly(stage, 'healing', [100, 800], async () => {
    if (!strikes(stage, 0.7)) return;
    const { pool } = connections.control;
    const { rows } = await pool.query<{ pid: number }>(
      `select pid from pg_stat_activity
       where datname = current_database() and application_name = $1 order by pid`,
      [VICTIM],
    );
    const pid = random.pick(rows)?.pid;
    if (pid !== undefined) await pool.query('select pg_terminate_backend($1)', [pid]);
    record.count('terminated');
  });
}
