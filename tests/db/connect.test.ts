import { sql } from 'kysely';
import { expect, test, vi } from 'vitest';
import { connect } from '../../db/connect.ts';
import { isUnavailable } from '../../db/errors.ts';
import { useDatabase } from '../support/database.ts';

const database = useDatabase();

test('a connection that breaks in use fails its queries, and not the process', async () => {
  const breaking = connect(database().url, { applicationName: 'breaking', max: 1 });
  const { pool, kysely } = breaking;
  const suicide = sql`select pg_terminate_backend(pg_backend_pid())`.execute(kysely);
  // Waits for the connection, and gets it before its end is heard of.
  const next = sql`select 1`.execute(kysely);
  for (const query of [suicide, next]) {
    const error: unknown = await query.catch((cause: unknown) => cause);
    expect(isUnavailable(error)).toBe(true);
  }
  await vi.waitFor(() => pool.query('select 1'));
  await breaking.close();
});
