// The tick handed to pg_cron, with nobody else ticking: Debian's postgresql-15-cron, where installed.

import { existsSync } from 'node:fs';
import { Client } from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { commandTypes } from '../../agent/executors/registry.ts';
import { migrate } from '../../db/migrate.ts';
import { useDatabase } from '../support/database.ts';
import { findPostgres15, startTestPostgres } from '../support/postgres.ts';

const isInstalled =
  findPostgres15() !== undefined &&
  existsSync('/usr/share/postgresql/15/extension/pg_cron.control');

const database = useDatabase();

test('without the extension it says what is missing', async () => {
  await expect(
    database().pool.query('select executor.schedule_with_pg_cron()'),
  ).rejects.toMatchObject({ code: 'ZX011' });
});

test.runIf(isInstalled)(
  'pg_cron promotes what is due, with no server and no agent',
  { timeout: 120_000 },
  async () => {
    const server = await startTestPostgres(findPostgres15(), {
      shared_preload_libraries: 'pg_cron',
      'cron.database_name': 'agent_executor',
      'cron.use_background_workers': 'on',
    });
    onTestFinished(() => server.stop());
    await migrate(server.url, { types: commandTypes() });
    const client = new Client(server.url);
    await client.connect();
    onTestFinished(() => client.end());
    await client.query('create extension pg_cron');
    const { rows } = await client.query('select executor.schedule_with_pg_cron() as how');
    expect(rows[0].how).toMatch(/every (second|minute)/);
    await client.query(`select executor.submit_command('DELAY', '{"ms": 0}', '{"delayMs": 1}')`);
    await vi.waitFor(
      async () => {
        const found = await client.query('select status from executor.commands');
        expect(found.rows).toEqual([{ status: 'PENDING' }]);
      },
      { timeout: 100_000, interval: 500 },
    );
  },
);
