// Three projects, one suite: everything on PostgreSQL 18; what the database's version may matter to once more
// on 15 where its binaries are installed; what agents do once more with agents that come over HTTP.

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
    exclude: [
      'tests/db/schema.test.ts',
      ...filesOf(
        'tests/server',
        'agent-bad-input contract events-trouble http logs main malformed-http',
      ),
      ...filesOf('tests/server', 'openapi payloads ticker-trouble types'),
      ...filesOf(
        'tests/agent',
        'cancel-relay custom-executors http-client http-transport journal*',
      ),
      ...filesOf('tests/agent', 'lifeline-* main progress-reporter pulse reporter'),
    ],
  },
};

const overHttp = {
  test: {
    ...common,
    name: 'over-http',
    provide: { agentsOver: 'http' as const },
    include: [
      ...filesOf('tests/agent', 'agent cancel crash custom-executors database-away draining'),
      ...filesOf('tests/agent', 'journal-recovery main progress'),
    ],
  },
};

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      { test: { ...common, name: 'postgres-18', include: ['tests/**/*.test.ts'] } },
      overHttp,
      ...(findPostgres15() ? [on15] : []),
    ],
  },
});

function filesOf(dir: string, names: string): string[] {
  return names.split(' ').map((name) => `${dir}/${name}.test.ts`);
}
