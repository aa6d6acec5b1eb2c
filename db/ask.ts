import type pg from 'pg';

/** Calls a SQL function that answers yes or no: `select executor.… as yes`. */
export async function ask(pool: pg.Pool, text: string, values: unknown[]): Promise<boolean> {
  const { rows } = await pool.query<{ yes: boolean }>(text, values);
  return rows[0]?.yes ?? false;
}
