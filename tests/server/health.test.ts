import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { connect } from '../../db/connect.ts';
import { useDatabase } from '../support/database.ts';
import { refusedUrl } from '../support/http-server.ts';
import { expectProblem } from '../support/problems.ts';
import { post, startServer } from '../support/server.ts';

const database = useDatabase();

function connectTo(host: string) {
  return connect(`postgres://nobody:x@${host}/none`, { applicationName: 'test', max: 2 });
}

test('health is 200 while the database answers', async () => {
  await using server = await startServer(database());
  const response = await fetch(`${server.url}/health`);
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ status: 'ok' });
});

test('everything is 503 with Retry-After while the database is away', async () => {
  const away = connectTo(new URL(await refusedUrl()).host);
  await using server = await startServer(away);
  const answers = [
    await fetch(`${server.url}/health`),
    await fetch(`${server.url}/commands`),
    await fetch(`${server.url}/commands/0198a0de-0000-7000-8000-000000000001`),
    await post(server.url, { type: 'DELAY', payload: { ms: 1 } }),
  ];
  for (const response of answers) {
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/);
    expect((await expectProblem(response, 503)).code).toBe('database_unavailable');
  }
  await away.close();
});

test('health does not wait for a database that is silent', async () => {
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const away = connectTo(`127.0.0.1:${(silent.address() as AddressInfo).port}`);
  await using server = await startServer(away);
  const startedAt = performance.now();
  await expectProblem(await fetch(`${server.url}/health`), 503);
  expect(performance.now() - startedAt).toBeLessThan(4_000);
  silent.close();
});

test('health recovers with the database', async () => {
  await using server = await startServer(database());
  await database().pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid()`,
  );
  await expect
    .poll(async () => (await fetch(`${server.url}/health`)).status, { timeout: 5_000 })
    .toBe(200);
});
