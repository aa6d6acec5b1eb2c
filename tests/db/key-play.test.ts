// Concurrency keys under fifty who do everything at once, watched by somebody who does not ask the ledger.

import { expect, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { play } from '../support/key-play.ts';

const database = useDatabase();

test(
  'executions of a key never overlap and come in order, whatever happens to its commands',
  { timeout: 60_000 },
  async () => {
    const { violations, executions } = await play(database(), { seconds: 4 });
    expect(violations).toEqual([]);
    expect(executions).toBeGreaterThan(50);
    const { rows } = await database().pool.query(
      'select * from executor.invariants where violations <> 0',
    );
    expect(rows).toEqual([]);
  },
);
