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
      ...['agent-bad-input', 'contract', 'events-trouble', 'http', 'logs', 'main', 'malformed-http']
        .concat(['openapi', 'payloads', 'ticker-trouble', 'types'])
        .map((name) => `tests/server/${name}.test.ts`),
      ...[
        'cancel-relay',
        'custom-executors',
        'http-client',
        'http-transport',
        'journal*',
        'lifeline-*',
      ]
        .concat(['main', 'progress-reporter', 'pulse', 'reporter'])
        .map((name) => `tests/agent/${name}.test.ts`),
    ],
  },
};

const overHttp = {
  test: {
    ...common,
    name: 'over-http',
    provide: { agentsOver: 'http' as const },
    include: [
      'agent',
      'cancel',
      'crash',
      'custom-executors',
      'database-away',
      'draining',
      'journal-recovery',
      'main',
      'progress',
    ].map((name) => `tests/agent/${name}.test.ts`),
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
