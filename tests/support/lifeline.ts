// What the database sees of an agent's lifeline.

import type { Database } from '../../db/connect.ts';

/** The backends of the lifelines that are connected now. */
export async function lifelines(database: Database): Promise<number[]> {
  const { rows } = await database.pool.query<{ pid: number }>(
    `select pid from pg_stat_activity
     where application_name like 'agent-executor lifeline%' and datname = current_database()`,
  );
  return rows.map(({ pid }) => pid);
}

/** The backend that holds the lock of an agent's session. */
export async function lockHolder(database: Database, agentId: string): Promise<number | undefined> {
  const { rows } = await database.pool.query<{ pid: number }>(
    `select l.pid
     from executor.agents a
     join pg_locks l
       on l.locktype = 'advisory'
       and l.granted
       and (l.classid::bigint << 32 | l.objid::bigint) = executor.session_lock_key(a.session)
     where a.id = $1 and executor.session_lock_key(a.session) = any (executor.held_session_locks())`,
    [agentId],
  );
  return rows[0]?.pid;
}

/** When the agent last beat. */
export async function lastBeat(database: Database, agentId: string): Promise<number> {
  const { rows } = await database.pool.query<{ beat_at: Date }>(
    'select beat_at from executor.agents where id = $1',
    [agentId],
  );
  return rows[0]?.beat_at.getTime() ?? 0;
}

/** Makes agents beat so often, and be lost after four times that. */
export async function beatEvery(database: Database, intervalMs: number): Promise<void> {
  await database.pool.query(
    `update executor.settings
     set beat_interval = $1 * interval '1 ms', lost_after = 4 * $1 * interval '1 ms'`,
    [intervalMs],
  );
}
