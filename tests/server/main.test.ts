// The server as a process: how it starts, refuses to, and stops.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect as openSocket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, expect, test, vi } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { refusedUrl } from '../support/http-server.ts';
import { submit } from '../support/server.ts';

const database = useDatabase();
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
});

function start(environment: NodeJS.ProcessEnv): ChildProcess {
  const child = fork('server/main.ts', {
    silent: true,
    env: { PATH: process.env['PATH'], DATABASE_URL: database().url, PORT: '0', ...environment },
  });
  children.push(child);
  return child;
}

async function ready(child: ChildProcess): Promise<string> {
  const [message] = (await once(child, 'message')) as [{ ready: string }];
  return message.ready;
}

test('it says where it is, serves, and ends cleanly when told to', async () => {
  const child = start({});
  const url = await ready(child);
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  await submit(url, 'DELAY', { ms: 1 });
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test('it ticks until it stops', async () => {
  const { pool } = database();
  const child = start({});
  await ready(child);
  const ticked = `select extract(epoch from ticked_at)::float8 as at from executor.clock`;
  const [{ at }] = (await pool.query(ticked)).rows;
  await vi.waitFor(async () => expect((await pool.query(ticked)).rows[0].at).toBeGreaterThan(at), {
    timeout: 5_000,
  });
  child.kill('SIGTERM');
  const [output] = await Promise.all([text(child.stdout!), once(child, 'exit')]);
  expect(output).not.toMatch(/"level":(40|50|60)/);
  await vi.waitFor(async () => {
    const left = await pool.query(
      `select from pg_stat_activity
       where datname = current_database() and application_name like 'agent-executor server%'`,
    );
    expect(left.rowCount).toBe(0);
  });
});

test('it vacuums what has many dead rows', async () => {
  const { pool } = database();
  await pool.query('create table executor.spoiled as select generate_series(1, 60000)');
  const holder = await pool.connect();
  // Autovacuum may come first, and cannot remove what this still sees.
  await holder.query('begin isolation level repeatable read; select from executor.spoiled');
  await pool.query('delete from executor.spoiled');
  const child = start({});
  await ready(child);
  const vacuumed = `select from pg_stat_user_tables
    where relname = 'spoiled' and last_vacuum is not null`;
  await vi.waitFor(async () => expect((await pool.query(vacuumed)).rowCount).toBe(1), {
    timeout: 15_000,
  });
  await holder.query('rollback');
  holder.release();
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test('it ends when its launcher goes away', async () => {
  const child = start({});
  await ready(child);
  child.disconnect();
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test('it answers what is in flight before it ends, and waits for no idle connection', async () => {
  const child = start({});
  const { hostname, port } = new URL(await ready(child));
  const idle = openSocket(Number(port), hostname);
  const socket = openSocket(Number(port), hostname);
  const body = '{"type":"DELAY","payload":{"ms":1}}';
  const head = `Content-Type: application/json\r\nContent-Length: ${body.length}`;
  socket.write(`POST /commands HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n${head}\r\n\r\n`);
  await Promise.all([once(idle, 'connect'), once(socket, 'data')]);
  const stopping = onOutput(child, /stopping/);
  child.kill('SIGTERM');
  await stopping;
  socket.write(body);
  expect(await text(socket)).toMatch(/^HTTP\/1\.1 201 [^]*Connection: close/);
  expect(await once(child, 'exit')).toEqual([0, null]);
});

function onOutput(child: ChildProcess, pattern: RegExp): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  child.stdout?.on('data', (chunk: Buffer) => {
    if (pattern.test(chunk.toString())) resolve();
  });
  return promise;
}

test('a wrong start says so in one line and exits with 1', async () => {
  const taken = new URL(await ready(start({}))).port;
  const away = `postgres://u:secret@${new URL(await refusedUrl()).host}/none`;
  const cases: [NodeJS.ProcessEnv, RegExp][] = [
    [{ PORT: taken }, /^Cannot listen on 127\.0\.0\.1:\d+: something else does already\.\n$/],
    [{ HOST: '192.0.2.1' }, /^Cannot listen on 192\.0\.2\.1:0: .*EADDRNOTAVAIL.*\n$/],
    [{ DATABASE_URL: away }, /^Cannot reach the database: .*ECONNREFUSED.*\n$/],
    [{ PORT: 'x', CORS_ORIGIN: 'nope' }, /^Wrong settings: PORT: [^\n]+; CORS_ORIGIN: [^\n]+\n$/],
  ];
  for (const [environment, line] of cases) {
    const child = start(environment);
    const [errors] = await Promise.all([text(child.stderr!), once(child, 'exit')]);
    expect(errors).toMatch(line);
    expect(errors).not.toContain('secret');
    expect(child.exitCode).toBe(1);
  }
});
