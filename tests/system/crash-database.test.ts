// Postgres crashes under load, and Postgres is away for a minute.

import { Client } from 'pg';
import { v7 } from 'uuid';
import { expect, inject, test, vi } from 'vitest';
import { commandTypes } from '../../agent/executors/registry.ts';
import { submitCommands } from '../../db/commands.ts';
import { connect } from '../../db/connect.ts';
import { migrate } from '../../db/migrate.ts';
import { startSink } from '../chaos/sink.ts';
import { expectStatus } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { startTestPostgres } from '../support/postgres.ts';
import { row, submit } from '../support/session.ts';
import { useSystem } from '../support/system.ts';

const database = useDatabase();
const system = useSystem(database);

test('an immediate restart of Postgres under load costs no command more than an attempt', async () => {
  const postgres = await startTestPostgres();
  await migrate(postgres.url, { types: commandTypes() });
  const crashing = connect(postgres.url, { applicationName: 'test', max: 2 });
  await using sink = await startSink();
  const DATABASE_URL = postgres.url;
  try {
    await system.server({ DATABASE_URL });
    await system.agent('one', { DATABASE_URL });
    await system.agent('two', { DATABASE_URL });
    const batch = Array.from({ length: 120 }, (_, index) => ({
      id: v7(),
      type: 'HTTP_GET_JSON',
      payload: { url: sink.urlFor(index, 100 + (index % 5) * 50) },
    }));
    await submitCommands(crashing.pool, batch);
    for (const reached of [25, 70]) {
      await vi.waitFor(() => expect(sink.hits.length).toBeGreaterThan(reached), 10_000);
      await postgres.crash();
    }
    await expectStatus(crashing, 'COMPLETED', 120);
    expect(new Set(sink.hits.map(({ commandId }) => commandId)).size).toBe(120);
    expect(sink.hits).toHaveLength(120);
    const { rows } = await crashing.pool.query(
      `select from executor.attempts where outcome <> 'unstarted' or attempt > 2
       union all
       select from executor.invariants where violations <> 0`,
    );
    expect(rows).toEqual([]);
  } finally {
    await crashing.close();
    await postgres.stop();
  }
}, 60_000);

test('a database that was away for a minute makes no live agent lost', async () => {
  await system.settings(1_000, 15_000);
  await system.server();
  const agent = await system.agent('patient');
  await system.watched();
  const [id] = await submit(database(), 1, { ms: 4_000 });
  await expectStatus(database(), 'RUNNING', 1);
  // It comes back later than whoever looks for lost agents.
  agent.signal('SIGSTOP');
  await away(database().url, async (client) => {
    await client.query(`update executor.clock set ticked_at = ticked_at - interval '60 s'`);
    await client.query(`update executor.agents set beat_at = beat_at - interval '60 s'`);
  });
  await twoTicks();
  expect(await system.stateOf('patient')).toBe('busy');
  agent.signal('SIGCONT');
  await expectStatus(database(), 'COMPLETED', 1);
  expect(await row(database(), id)).toMatchObject({ attempt: 1, losses: 0 });
  await twoTicks();
  expect(await system.stateOf('patient')).toBe('idle');
});

/** Waits until somebody has ticked twice. */
async function twoTicks(): Promise<void> {
  const ticks = new Set<number>();
  await vi.waitFor(
    async () => {
      const { rows } = await database().pool.query<{ ticked_at: Date }>(
        'select ticked_at from executor.clock',
      );
      ticks.add(rows[0]!.ticked_at.getTime());
      expect(ticks.size).toBeGreaterThan(2);
    },
    { timeout: 10_000, interval: 100 },
  );
}

/** Ends every connection to the database and lets no new one in, but for the one of `meanwhile`. */
async function away(url: string, meanwhile: (client: Client) => Promise<void>): Promise<void> {
  const name = new URL(url).pathname.slice(1);
  const maintenance = new Client(inject('postgresUrl'));
  const client = new Client(url);
  await Promise.all([maintenance.connect(), client.connect()]);
  try {
    await maintenance.query(`alter database ${name} allow_connections false`);
    await client.query(
      `select pg_terminate_backend(pid)
       from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid()`,
    );
    await meanwhile(client);
  } finally {
    await maintenance.query(`alter database ${name} allow_connections true`);
    await Promise.all([maintenance.end(), client.end()]);
  }
}
