// Batches as executor.submit() gets them, over any connection.

import type { ClientBase, Pool } from 'pg';
import { v7 } from 'uuid';
import { expect, vi } from 'vitest';

export interface Item {
  id: string;
  type: string;
  payload: object;
  [option: string]: unknown;
}

/** A command of a batch: a DELAY of no time, with these options. */
export function item(options: Record<string, unknown> = {}): Item {
  return { id: v7(), type: 'DELAY', payload: { ms: 0 }, ...options };
}

/** Submits a batch; answers the commands' ids in order. */
export async function submitBatch(connection: Pool | ClientBase, batch: Item[]): Promise<string[]> {
  const { rows } = await connection.query<{ id: string }>('select executor.submit($1) as id', [
    JSON.stringify(batch),
  ]);
  return rows.map(({ id }) => id);
}

/** Cancels; answers in order. */
export async function cancelCommands(pool: Pool, ids: string[]): Promise<string[]> {
  const { rows } = await pool.query<{ command_id: string; answer: string }>(
    'select * from executor.cancel_commands($1)',
    [ids],
  );
  expect(rows.map(({ command_id }) => command_id)).toEqual(ids);
  return rows.map(({ answer }) => answer);
}

/** An open transaction, as somebody leaves one behind in psql. */
export async function openTransaction(pool: Pool) {
  const client = await pool.connect();
  await client.query('begin');
  let isOpen = true;
  const end = async (how: 'commit' | 'rollback') => {
    if (!isOpen) return;
    isOpen = false;
    await client.query(how);
    client.release();
  };
  return {
    client,
    commit: () => end('commit'),
    rollback: () => end('rollback'),
    [Symbol.asyncDispose]: () => end('rollback'),
  };
}

/** Waits until so many statements in this database wait for a lock. */
export async function expectWaiting(pool: Pool, count = 1): Promise<void> {
  await vi.waitFor(async () => {
    const { rows } = await pool.query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    expect(rows).toHaveLength(count);
  });
}
