// Following commands in trouble: cut connections, lost notifications, slow and many readers.

import { once } from 'node:events';
import { connect as openSocket, type Socket } from 'node:net';
import { beforeEach, expect, test, vi } from 'vitest';
import type { Command } from '../../db/command-json.ts';
import { connect } from '../../db/connect.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { type EventReader, listOf, readEvents } from '../support/events.ts';
import { refusedUrl } from '../support/http-server.ts';
import { expectProblem } from '../support/problems.ts';
import { startProxy } from '../support/proxy.ts';
import { startProgram } from '../support/program.ts';
import { post, type RunningServer, startServer } from '../support/server.ts';
import { startSession, submit } from '../support/session.ts';
import { recordStatements } from '../support/ticker.ts';

const database = useDatabase();

beforeEach(async () => {
  await emptyLedger(database());
  await database().pool.query('delete from executor.watchers');
});

const LISTENERS = `datname = current_database()
  and application_name = 'agent-executor server changes'`;

async function countListeners(): Promise<number> {
  const { rowCount } = await database().pool.query(
    `select from pg_stat_activity where ${LISTENERS}`,
  );
  return rowCount ?? NaN;
}

async function expectWatched(watched: boolean): Promise<void> {
  await vi.waitFor(async () => {
    const { rowCount } = await database().pool.query(
      'select from executor.watchers where until > clock_timestamp()',
    );
    expect(rowCount).toBe(watched ? 1 : 0);
  });
}

async function expectLockWaits(count: number): Promise<void> {
  await vi.waitFor(async () => {
    const { rowCount } = await database().pool.query(
      `select from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock'`,
    );
    expect(rowCount).toBe(count);
  });
}

async function expectTrue(server: RunningServer, reader: EventReader, query: string, limit = 50) {
  await vi.waitFor(
    async () => {
      const response = await fetch(`${server.url}/commands${query}`);
      expect(listOf(reader.events, limit)).toEqual(await response.json());
    },
    { timeout: 15_000, interval: 50 },
  );
}

test('under load and with the connection cut again and again, readers end with the ledger', async () => {
  await using proxy = await startProxy(database().url);
  await using server = await startServer({ ...database(), url: proxy.url });
  await using session = await startSession(database());
  const queries = ['', '?status=RUNNING', '?status=PENDING&limit=5', '?status=COMPLETED,FAILED'];
  const readers = await Promise.all(
    queries.map((query) => readEvents(`${server.url}/events${query}`)),
  );
  const ids: string[] = [];
  for (let round = 1; round <= 60; round += 1) {
    ids.push(...(await submit(database(), 5)));
    const claimed = await session.claim(4, round);
    await session.fail(claimed.slice(0, 1));
    await session.complete(claimed.slice(1, 3));
    if (round % 12 === 0) proxy.cut();
  }
  for (const [i, query] of queries.entries())
    await expectTrue(server, readers[i]!, query, query.includes('limit') ? 5 : 50);
  await Promise.all(readers.map((reader) => reader[Symbol.asyncDispose]()));
});

test('readers of single commands, too, end with the ledger', async () => {
  await using proxy = await startProxy(database().url);
  await using server = await startServer({ ...database(), url: proxy.url });
  await using session = await startSession(database());
  const ids = await submit(database(), 40);
  const readers = await Promise.all(
    ids.map((id) => readEvents(`${server.url}/commands/${id}/events`)),
  );
  for (let round = 1; round <= 10; round += 1) {
    const claimed = await session.claim(4, round);
    if (round % 3 === 0) proxy.cut();
    await session.complete(claimed);
  }
  await Promise.all(readers.map(({ ended }) => ended));
  for (const reader of readers)
    expect(reader.events.at(-1)?.data).toMatchObject({ status: 'COMPLETED' });
});

test('a dead link is noticed and what happened meanwhile is told', async () => {
  await using proxy = await startProxy(database().url);
  const times = { renewMs: 100, lookAgainMs: 1 };
  await using server = await startServer({ ...database(), url: proxy.url }, { times });
  await using session = await startSession(database());
  const [id] = await submit(database());
  await using reader = await readEvents(`${server.url}/commands/${id}/events`);
  await expectWatched(true);
  const claimed = await session.claim();
  await reader.count(2);
  expect(proxy.blackhole(/changes$/)).toBe(1);
  await session.complete(claimed);
  await reader.ended;
  expect(reader.events.at(-1)?.data).toMatchObject({ status: 'COMPLETED' });
  expect(server.logged.map(({ msg }) => msg)).toContain('listening again');
});

test('without any notification everything is looked at now and then', async () => {
  await using server = await startServer(database(), { times: { lookAnywayMs: 100 } });
  await using session = await startSession(database());
  const [id] = await submit(database());
  await using list = await readEvents(`${server.url}/events`);
  await using one = await readEvents(`${server.url}/commands/${id}/events`);
  await Promise.all([list.count(1), one.count(1)]);
  await expectWatched(true);
  await database().pool.query('delete from executor.watchers');
  await session.complete(await session.claim());
  await one.ended;
  expect(one.events.at(-1)?.data).toMatchObject({ status: 'COMPLETED' });
  await expectTrue(server, list, '');
});

test('what was under way when watching began is seen a moment later', async () => {
  await using server = await startServer(database());
  const [id] = await submit(database());
  const writer = await database().pool.connect();
  await writer.query('begin');
  // It asked whether anybody watches before anybody did.
  await writer.query('select executor.cancel_commands(array[$1::uuid])', [id]);
  await using list = await readEvents(`${server.url}/events`);
  await using one = await readEvents(`${server.url}/commands/${id}/events`);
  await Promise.all([list.count(1), one.count(1)]);
  await expectWatched(true);
  await writer.query('commit');
  writer.release();
  const committedAtMs = performance.now();
  await one.ended;
  expect(performance.now() - committedAtMs).toBeLessThan(5_000);
  expect(one.events.at(-1)?.data).toMatchObject({ status: 'CANCELLED' });
  await list.count(2);
  expect(listOf(list.events, 50)).toMatchObject([{ status: 'CANCELLED' }]);
});

test('500 readers get a change, and the ledger is read a few times for all of them', async () => {
  await using server = await startServer(database());
  const [id] = await submit(database());
  const lists = Array.from({ length: 300 }, () => readEvents(`${server.url}/events`));
  const ones = Array.from({ length: 200 }, () => readEvents(`${server.url}/commands/${id}/events`));
  const readers = await Promise.all([...lists, ...ones]);
  await Promise.all(readers.map((reader) => reader.count(1)));
  await expectWatched(true);
  await using session = await startSession(database());
  const sent = recordStatements();
  await session.claim();
  await Promise.all(readers.map((reader) => reader.count(2)));
  // For readers of lists, for readers of the command; some more if it's a second since they began.
  const reads = sent().filter((text) => text.startsWith('select "id"'));
  vi.restoreAllMocks();
  expect(reads.length).toBeLessThan(8);
  for (const reader of readers)
    expect(reader.events[1]).toMatchObject({ event: 'command', data: { id, status: 'RUNNING' } });
  await Promise.all(readers.map((reader) => reader[Symbol.asyncDispose]()));
});

/** A reader that asks, and never reads. */
async function neverRead(url: string, path: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = openSocket(Number(port), hostname);
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.pause();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  return socket;
}

test('a reader that does not read is cut off, the others are not', async () => {
  const limits = { mostWaitingBytes: 200_000 };
  await using server = await startServer(database(), { limits });
  await using session = await startSession(database());
  await using reader = await readEvents(`${server.url}/events?limit=2`);
  const [id = ''] = await submit(database(), 1, { ms: 0, note: 'x'.repeat(1_000_000) });
  await session.claim();
  const slow = await neverRead(server.url, '/events?limit=2');
  const wasCutOff = () =>
    server.logged.some(({ msg }) => msg === 'a slow reader of events was cut off');
  for (let i = 1; i <= 60 && !wasCutOff(); i += 1) {
    const seen = reader.events.length;
    const reports = JSON.stringify([{ id, attempt: 1, progress: i / 100 }]);
    await database().pool.query('select executor.report_progress($1, $2)', [
      session.session,
      reports,
    ]);
    await reader.count(seen + 1);
  }
  expect(wasCutOff()).toBe(true);
  await submit(database());
  await expectTrue(server, reader, '?limit=2', 2);
  slow.destroy();
});

test('with nobody left nothing is watched, and the next one begins anew', async () => {
  await using server = await startServer(database(), { times: { idleMs: 50 } });
  expect(await countListeners()).toBe(0);
  for (let round = 1; round <= 2; round += 1) {
    const [id] = await submit(database());
    const readers = await Promise.all([
      readEvents(`${server.url}/events`),
      readEvents(`${server.url}/events?status=PENDING`),
      readEvents(`${server.url}/commands/${id}/events`),
    ]);
    await expectWatched(true);
    expect(await countListeners()).toBe(1);
    await submit(database());
    await readers[0]?.count(2);
    await Promise.all(readers.map((reader) => reader[Symbol.asyncDispose]()));
    await expectWatched(false);
    await vi.waitFor(async () => expect(await countListeners()).toBe(0));
  }
});

test('the registration is renewed for as long as somebody reads', async () => {
  await using server = await startServer(database(), { times: { renewMs: 50 } });
  await using reader = await readEvents(`${server.url}/events`);
  await reader.count(1);
  await expectWatched(true);
  await database().pool.query(`update executor.watchers set until = now() - interval '1 second'`);
  await expectWatched(true);
  await submit(database());
  await reader.count(2);
});

test('while the database is away new readers are refused', async () => {
  const away = connect(await refusedUrl(), { applicationName: 'test', max: 1 });
  await using server = await startServer(away);
  const id = '0198a0de-0000-7000-8000-000000000001';
  for (const path of ['/events', `/commands/${id}/events`])
    expect((await expectProblem(await fetch(server.url + path), 503)).code).toBe(
      'database_unavailable',
    );
  await away.close();
});

test('a client that goes away before its first event leaves nothing behind', async () => {
  await using server = await startServer(database(), { times: { idleMs: 50 } });
  const holder = await database().pool.connect();
  await holder.query('begin; lock table executor.commands in access exclusive mode');
  const abort = new AbortController();
  const asked = [
    fetch(`${server.url}/events`, { signal: abort.signal }),
    fetch(`${server.url}/commands/0198a0de-0000-7000-8000-000000000001/events`, {
      signal: abort.signal,
    }),
  ];
  await expectLockWaits(2);
  abort.abort();
  await Promise.allSettled(asked);
  await holder.query('commit');
  holder.release();
  await expectWatched(false);
  expect((await fetch(`${server.url}/health`)).status).toBe(200);
  const errors = server.logged.filter(({ level }) => Number(level) >= 40);
  expect(errors).toEqual([]);
});

test('a stop lets go of readers that have nothing yet', async () => {
  const server = await startServer(database());
  const holder = await database().pool.connect();
  await holder.query('begin; lock table executor.commands in access exclusive mode');
  const asked = fetch(`${server.url}/events`);
  await expectLockWaits(1);
  const stopped = server[Symbol.asyncDispose]();
  expect((await asked).status).toBe(503);
  await holder.query('commit');
  holder.release();
  await stopped;
});

test('commands that change faster than they can be told make no queue', async () => {
  await using server = await startServer(database());
  await using reader = await readEvents(`${server.url}/events?limit=20`);
  await reader.count(1);
  await expectWatched(true);
  await Promise.all(Array.from({ length: 40 }, () => submit(database(), 190)));
  await expectTrue(server, reader, '?limit=20', 20);
  const told = reader.events.map(({ data }) => (data as Command).id).filter(Boolean);
  expect(told.length).toBeLessThanOrEqual(40 * 190);
});

test('a server process stops at once, readers and waiting requests or not', async () => {
  await using program = startProgram('server', { DATABASE_URL: database().url });
  const url = await program.ready;
  await using reader = await readEvents(`${url}/events`);
  await reader.count(1);
  const waiting = post(url, { type: 'DELAY', payload: { ms: 1 } }, { Prefer: 'wait=60' });
  await reader.count(2);
  const stoppedAtMs = performance.now();
  program.signal('SIGTERM');
  await reader.ended;
  expect((await waiting).status).toBe(201);
  expect(await program.exited).toBe('exit code 0');
  expect(performance.now() - stoppedAtMs).toBeLessThan(4_000);
  expect(program.output()).not.toMatch(/"level":(40|50|60)/);
});

test('a server process listens where DATABASE_DIRECT_URL says, and only that', async () => {
  await using proxy = await startProxy(database().url);
  await using program = startProgram('server', {
    DATABASE_URL: database().url,
    DATABASE_DIRECT_URL: proxy.url,
  });
  await using _reader = await readEvents(`${await program.ready}/events`);
  await expectWatched(true);
  expect(proxy.blackhole(/ (ticker|changes)$/)).toBe(2);
  expect(proxy.blackhole(/./)).toBe(2);
});
