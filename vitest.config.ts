// Two projects, one suite: everything on PostgreSQL 18, and what touches the database once more on
// 15 where its binaries are installed.

import { defineConfig } from 'vitest/config';
import { findPostgres15 } from './tests/support/postgres.ts';

const common = {
  globalSetup: ['tests/support/global-setup.ts'],
  testTimeout: 30_000,
  hookTimeout: 60_000,
};

const on15 = {
  test: {
    ...common,
    name: 'postgres-15',
    include: ['tests/{db,server}/**/*.test.ts', 'tests/agent/*.test.ts'],
    exclude: ['tests/db/schema.test.ts'],
  },
};

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      { test: { ...common, name: 'postgres-18', include: ['tests/**/*.test.ts'] } },
      ...(findPostgres15() ? [on15] : []),
    ],
  },
});
