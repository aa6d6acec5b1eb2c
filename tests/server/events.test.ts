// Following commands: what readers are told, in order, and that it ends.

import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Command } from '../../db/command-json.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { listOf, readEvents, type ServerEvent } from '../support/events.ts';
import { expectProblem } from '../support/problems.ts';
import { startServer, useServer } from '../support/server.ts';
import { startSession, submit } from '../support/session.ts';

const database = useDatabase();
const server = useServer(database);

beforeEach(() => emptyLedger(database()));

const statuses = (events: ServerEvent[]) => events.map(({ data }) => (data as Command).status);

async function list(query = ''): Promise<Command[]> {
  return (await (await fetch(`${server().url}/commands${query}`)).json()) as Command[];
}

async function sayProgress(session: string, id: string, progress: number): Promise<void> {
  const reports = JSON.stringify([{ id, attempt: 1, progress, message: 'on it' }]);
  await database().pool.query('select executor.report_progress($1, $2)', [session, reports]);
}

const eventsOf = (id = '') => `${server().url}/commands/${id}/events`;
const eventsOfAll = (query = '') => `${server().url}/events${query}`;

describe('GET /commands/:id/events', () => {
  test('tells the state at once, then every change, and ends with the last', async () => {
    await using session = await startSession(database());
    const [id = ''] = await submit(database());
    await using reader = await readEvents(eventsOf(id));
    await reader.count(1);
    const claimed = await session.claim();
    await reader.count(2);
    await sayProgress(session.session, id, 0.25);
    await reader.count(3);
    await sayProgress(session.session, id, 0.5);
    await reader.count(4);
    await session.complete(claimed, { n: 1 });
    await reader.ended;

    expect(reader.events.map(({ event }) => event)).toEqual(Array(5).fill('command'));
    expect(statuses(reader.events)).toEqual([
      'PENDING',
      'RUNNING',
      'RUNNING',
      'RUNNING',
      'COMPLETED',
    ]);
    const progress = reader.events.map(({ data }) => (data as Command).progress);
    const updatedAt = expect.stringMatching(/^\d{4}-.*Z$/);
    expect(progress.slice(1)).toEqual([
      null,
      { value: 0.25, message: 'on it', updatedAt },
      { value: 0.5, message: 'on it', updatedAt },
      { value: 0.5, message: 'on it', updatedAt },
    ]);
    expect(reader.events.map((event) => event.id).sort()).toEqual(reader.events.map((e) => e.id));
    // One JSON everywhere.
    const response = await fetch(`${server().url}/commands/${id}`);
    const { attempts, ...found } = (await response.json()) as Command & { attempts: unknown };
    expect(attempts).toHaveLength(1);
    expect(reader.events.at(-1)?.data).toEqual(found);
    expect(await list()).toEqual([found]);
  });

  test('a reader that has the final state is told to stay away; any other gets it', async () => {
    await using session = await startSession(database());
    const [id = ''] = await submit(database());
    await using first = await readEvents(eventsOf(id));
    await first.count(1);
    await session.complete(await session.claim());
    await first.ended;

    const last = first.events.at(-1)?.id ?? '';
    const again = await fetch(eventsOf(id), { headers: { 'Last-Event-ID': last } });
    expect(again.status).toBe(204);
    for (const known of ['', first.events[0]?.id ?? '', 'nonsense']) {
      await using other = await readEvents(eventsOf(id), known ? { 'Last-Event-ID': known } : {});
      await other.ended;
      expect(other.events).toEqual([first.events.at(-1)]);
    }
  });

  test('a retry after a failure goes on; the progress of another attempt is not shown', async () => {
    await using session = await startSession(database());
    const [id = ''] = await submit(database());
    const claimed = await session.claim();
    await sayProgress(session.session, id, 0.9);
    await using reader = await readEvents(eventsOf(id.toUpperCase()));
    await reader.count(1);
    await session.release(claimed);
    await reader.count(2);
    await session.claim(1, 2);
    await reader.count(3);
    expect(statuses(reader.events)).toEqual(['RUNNING', 'PENDING', 'RUNNING']);
    const progress = reader.events.map(({ data }) => (data as Command).progress?.value);
    expect(progress[0]).toBe(0.9);
    expect(progress[2]).toBeUndefined();
  });

  test('a command that is deleted ends its streams', async () => {
    const [id = ''] = await submit(database());
    await using own = await startServer(database(), { times: { lookAnywayMs: 50 } });
    await using reader = await readEvents(`${own.url}/commands/${id}/events`);
    await reader.count(1);
    await emptyLedger(database());
    await reader.ended;
    expect(reader.events).toHaveLength(1);
  });

  test('unknown commands are 404, and nothing can be asked for', async () => {
    for (const id of ['nope', '0198a0de-0000-7000-8000-000000000001'])
      await expectProblem(await fetch(eventsOf(id)), 404);
    const [id] = await submit(database());
    await expectProblem(await fetch(`${eventsOf(id)}?limit=1`), 400);
  });
});

describe('GET /events', () => {
  test('tells the list at once, then what changes in it', async () => {
    await using session = await startSession(database());
    const [first = ''] = await submit(database());
    await using reader = await readEvents(eventsOfAll());
    await reader.count(1);
    const [second = ''] = await submit(database());
    await reader.count(2);
    const claimed = await session.claim(1);
    await reader.count(3);
    await sayProgress(session.session, first, 0.5);
    await reader.count(4);
    await session.complete(claimed);
    await reader.count(5);

    expect(reader.events.map(({ event }) => event)).toEqual([
      'snapshot',
      ...Array(4).fill('command'),
    ]);
    expect(reader.events[0]?.data).toMatchObject([{ id: first }]);
    const ids = reader.events.slice(1).map(({ data }) => (data as Command).id);
    expect(ids).toEqual([second, first, first, first]);
    expect(listOf(reader.events, 50)).toEqual(await list());
  });

  test('a command comes when it begins to match, and goes when it ends to', async () => {
    await using session = await startSession(database());
    await using running = await readEvents(eventsOfAll('?status=RUNNING'));
    await using pending = await readEvents(eventsOfAll('?status=PENDING,SCHEDULED&type=DELAY'));
    await running.count(1);
    await pending.count(1);
    const [id] = await submit(database());
    await pending.count(2);
    const claimed = await session.claim();
    await running.count(2);
    await session.complete(claimed);
    await running.count(3);
    await pending.count(3);

    expect(running.events.slice(1)).toMatchObject([
      { event: 'command', data: { id, status: 'RUNNING' } },
      { event: 'removed', data: { id } },
    ]);
    expect(pending.events.slice(1)).toMatchObject([
      { event: 'command', data: { id, status: 'PENDING' } },
      { event: 'removed', data: { id } },
    ]);
  });

  test('what a full list loses is made up for by the next older', async () => {
    await using session = await startSession(database());
    await submit(database(), 8);
    await using reader = await readEvents(eventsOfAll('?status=PENDING&limit=3'));
    await reader.count(1);
    await session.claim(6);
    await submit(database(), 1);
    await vi.waitFor(
      async () => expect(listOf(reader.events, 3)).toEqual(await list('?status=PENDING&limit=3')),
      { timeout: 5_000 },
    );
    expect(listOf(reader.events, 3)).toHaveLength(3);
  });

  test('of older ones that a reader was told of it is told that they match no longer', async () => {
    await using session = await startSession(database());
    await using reader = await readEvents(eventsOfAll('?status=PENDING&limit=1'));
    await reader.count(1);
    const ids = [...(await submit(database())), ...(await submit(database()))];
    await reader.count(3);
    await session.claim(2);
    await vi.waitFor(() => {
      const removed = reader.events.filter(({ event }) => event === 'removed');
      expect(removed.map(({ data }) => (data as Command).id).sort()).toEqual(ids);
    });
  });

  test('more changes at once than a notification holds are a new snapshot', async () => {
    const ids = await submit(database(), 300);
    await using reader = await readEvents(eventsOfAll('?limit=200&status=PENDING'));
    await reader.count(1);
    await database().pool.query('select executor.cancel_commands($1)', [ids]);
    await vi.waitFor(() => expect(listOf(reader.events, 200)).toEqual([]), { timeout: 5_000 });
    expect(reader.events.filter(({ event }) => event === 'removed').length).toBeLessThan(300);
    await using finished = await readEvents(eventsOfAll('?limit=200&status=CANCELLED'));
    await finished.count(1);
    expect(finished.events[0]?.data).toEqual(await list('?limit=200&status=CANCELLED'));
  });

  test('what is wrong with the query is said', async () => {
    for (const name of ['sort', 'cursor', 'color', 'status', 'limit']) {
      const problem = await expectProblem(await fetch(eventsOfAll(`?${name}=0`)), 400);
      expect(problem.errors).toMatchObject([{ pointer: `#/query/${name}` }]);
    }
  });
});

describe('a stream', () => {
  test('is one that proxies and browsers leave alone', async () => {
    const [id] = await submit(database());
    for (const path of ['/events', `/commands/${id}/events`]) {
      await using reader = await readEvents(server().url + path);
      expect(Object.fromEntries(reader.response.headers)).toMatchObject({
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
        'access-control-allow-origin': '*',
        'x-request-id': expect.any(String),
      });
    }
  });

  test('begins with how long to stay away when it breaks off, each time another', async () => {
    const hints = new Set<string>();
    for (let i = 0; i < 5; i += 1) {
      const abort = new AbortController();
      const { body } = await fetch(`${server().url}/events`, { signal: abort.signal });
      const { value } = await body!.getReader().read();
      const ms = /^retry: (\d+)\n\n/.exec(new TextDecoder().decode(value))?.[1];
      expect(Number(ms)).toBeGreaterThanOrEqual(1_000);
      expect(Number(ms)).toBeLessThanOrEqual(5_000);
      hints.add(ms ?? '');
      abort.abort();
    }
    expect(hints.size).toBeGreaterThan(1);
  });

  test('says something now and then', async () => {
    await using own = await startServer(database(), { limits: { commentMs: 20 } });
    await using reader = await readEvents(`${own.url}/events`);
    await vi.waitFor(() => expect(reader.comments).toBeGreaterThan(2));
  });

  test('is not opened by HEAD', async () => {
    const [id] = await submit(database());
    for (const path of ['/events', `/commands/${id}/events`]) {
      const response = await fetch(server().url + path, { method: 'HEAD' });
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe('text/event-stream');
    }
    const unknown = await fetch(`${server().url}/commands/nope/events`, { method: 'HEAD' });
    expect(unknown.status).toBe(404);
  });

  test('is refused for a while when there are too many', async () => {
    await using own = await startServer(database(), { limits: { mostStreams: 2 } });
    const first = await readEvents(`${own.url}/events`);
    await using _second = await readEvents(`${own.url}/events`);
    const response = await fetch(`${own.url}/events`);
    expect(response.headers.get('retry-after')).toBe('5');
    expect((await expectProblem(response, 503)).code).toBe('too_many_readers');
    await first[Symbol.asyncDispose]();
    await vi.waitFor(async () => (await readEvents(`${own.url}/events`))[Symbol.asyncDispose]());
  });

  test('ends when the server stops, at once, and new ones are refused', async () => {
    const own = await startServer(database());
    const [id] = await submit(database());
    await using list = await readEvents(`${own.url}/events`);
    await using one = await readEvents(`${own.url}/commands/${id}/events`);
    await list.count(1);
    await one.count(1);
    const stoppedAtMs = performance.now();
    await own[Symbol.asyncDispose]();
    expect(performance.now() - stoppedAtMs).toBeLessThan(900);
    await Promise.all([list.ended, one.ended]);
  });
});
