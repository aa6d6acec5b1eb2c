// A short run of the hammer; the long one is `node tests/hammer/main.ts`.

import { expect, test } from 'vitest';
import { hammer } from '../hammer/hammer.ts';
import { useDatabase } from '../support/database.ts';

const database = useDatabase();

test(
  'the functions keep their promises under every fault at once',
  { timeout: 60_000 },
  async () => {
    const seed = Date.now() % 1_000_000;
    console.log(`hammer seed ${seed}`);
    const { violations, counts } = await hammer(database().url, { seconds: 5, seed });
    expect(violations, `seed ${seed}`).toEqual([]);
    expect(counts['ended completed']).toBeGreaterThan(0);
  },
);
