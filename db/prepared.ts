// Statements that are sent all the time have a name: Postgres then parses and plans them once a connection.
//
// Not where a pooler is in between: in transaction mode it hands each statement to whichever backend is free,
// which may not know the name. A pooler tells a process id of its own making.

import type pg from 'pg';

/** Those that lead straight to Postgres. */
const direct = new WeakSet<pg.ClientBase>();

/** To be called with each new connection of a pool, before its first statement. */
export async function noteWhetherDirect(connection: pg.ClientBase): Promise<void> {
  // Its types do not know the process id that it was told; a pooler may tell none.
  const { processID } = connection as pg.ClientBase & { processID: number | null };
  const { rows } = await connection.query<{ pid: number }>('select pg_backend_pid() as pid');
  if (rows[0]?.pid === processID) direct.add(connection);
}

/**
 * The rows of a statement that is sent all the time. `name`: of no other statement, at most 63 bytes.
 *
 * @throws what the database throws. Of a statement whose answer has other columns since a migration, once
 *   for each connection: the pool then makes a new one.
 */
export async function queryPrepared<Row = unknown>(
  pool: pg.Pool,
  name: string,
  text: string,
  values: unknown[],
): Promise<Row[]> {
  const connection = await pool.connect();
  let failure: Error | undefined;
  try {
    const statement = { text, values };
    const { rows } = await connection.query(
      direct.has(connection) ? { name, ...statement } : statement,
    );
    return rows as Row[];
  } catch (error) {
    failure = error as Error;
    throw error;
  } finally {
    connection.release(failure);
  }
}
