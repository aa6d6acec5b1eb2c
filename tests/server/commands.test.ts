// Submitting commands, listing them, looking at one: the contract that clients rely on.

import { v7 } from 'uuid';
import { expect, test } from 'vitest';
import type { Command } from '../../db/command-json.ts';
import { useDatabase } from '../support/database.ts';
import { post, submit, useServer } from '../support/server.ts';
import { startSession } from '../support/session.ts';

const database = useDatabase();
const server = useServer(database);

const UUID_V7 = /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;

async function list(query = ''): Promise<{ commands: Command[]; next: string | undefined }> {
  const response = await fetch(new URL(`/commands${query}`, server().url));
  expect(response.status).toBe(200);
  const commands = (await response.json()) as Command[];
  return {
    commands,
    next: /^<(\?[^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1],
  };
}

const ids = (commands: Command[]) => commands.map(({ id }) => id);

test('a submitted command is answered with its id and a relative Location', async () => {
  const response = await post(server().url, { type: 'DELAY', payload: { ms: 3000 } });
  const { commandId } = (await response.json()) as { commandId: string };
  expect(response.status).toBe(201);
  expect(commandId).toMatch(UUID_V7);
  expect(response.headers.get('location')).toBe(`commands/${commandId}`);
  const found = await fetch(new URL(response.headers.get('location') ?? '', response.url));
  expect(((await found.json()) as Command).id).toBe(commandId);
});

test('Location leads to the command under /commands/ too', async () => {
  const body = JSON.stringify({ type: 'DELAY', payload: { ms: 1 } });
  const headers = { 'Content-Type': 'application/json' };
  const response = await fetch(`${server().url}/commands/`, { method: 'POST', headers, body });
  const found = await fetch(new URL(response.headers.get('location') ?? '', response.url));
  expect(found.status).toBe(200);
});

test('a command is one JSON everywhere, with its attempts when asked for alone', async () => {
  const id = await submit(server().url, 'HTTP_GET_JSON', { url: 'https://example.org/?q=ü#"' });
  const response = await fetch(`${server().url}/commands/${id}`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^application\/json/);
  const { attempts, ...command } = (await response.json()) as Command & { attempts: unknown };
  expect(attempts).toEqual([]);
  expect(command).toMatchObject({
    id,
    type: 'HTTP_GET_JSON',
    payload: { url: 'https://example.org/?q=ü#"' },
    status: 'PENDING',
    result: null,
    error: null,
    agentId: null,
    attempt: 0,
    assignedAt: null,
    createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
  });
  expect((await list('?limit=1')).commands).toEqual([command]);
});

test('what a command was submitted with, and what was asked of it, is part of its JSON', async () => {
  await using session = await startSession(database());
  const [id, retryOf, batchId] = [v7(), v7(), v7()];
  const labels = { tags: ['b', 'a'], metadata: { x: [1, { y: null }] } };
  const keys = { concurrencyKey: 'one at a time', idempotencyKey: 'once' };
  const batch = [{ id, type: 'DELAY', payload: { ms: 1 }, priority: 100, ...labels, ...keys }];
  await database().pool.query('select executor.submit($1)', [
    JSON.stringify(batch.map((command) => ({ ...command, batchId, retryOf }))),
  ]);
  const find = async () =>
    (await (await fetch(`${server().url}/commands/${id}`)).json()) as Command;
  const expected = { ...labels, ...keys, batchId, retryOf };
  expect(await find()).toMatchObject({ ...expected, cancelRequestedAt: null, progress: null });

  const claimed = await session.claim(1);
  await database().pool.query('select executor.cancel_commands(array[$1::uuid])', [id]);
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  expect(await find()).toMatchObject({ ...expected, cancelRequestedAt: time });
  await session.report(claimed, 'cancelled');
  expect(await find()).toMatchObject({ status: 'CANCELLED', cancelRequestedAt: time });
});

test('media types that end in +json and charset=utf-8 are JSON too', async () => {
  const command = { type: 'DELAY', payload: { ms: 1 } };
  for (const type of [
    'application/json; charset=UTF-8',
    'application/vnd.x+json',
    'Application/JSON',
  ])
    expect((await post(server().url, command, { 'Content-Type': type })).status).toBe(201);
});

test('the list is newest first, 50 a page, never more than 200', async () => {
  const submitted: string[] = [];
  for (let i = 0; i < 205; i += 1) submitted.push(await submit(server().url, 'DELAY', { ms: i }));
  const newestFirst = submitted.toReversed();
  expect(ids((await list()).commands)).toEqual(newestFirst.slice(0, 50));
  expect(ids((await list('?limit=200')).commands)).toEqual(newestFirst.slice(0, 200));
  for (const limit of ['201', '9'.repeat(400)])
    expect((await list(`?limit=${limit}`)).commands).toHaveLength(200);
});

test('pages neither repeat nor miss a command while others arrive', async () => {
  const expected = ids((await list('?limit=200')).commands);
  const walked: string[] = [];
  let query: string | undefined = '?limit=7';
  while (query !== undefined && walked.length < expected.length) {
    const { commands, next } = await list(query);
    walked.push(...ids(commands));
    await Promise.all([1, 2, 3].map((ms) => submit(server().url, 'DELAY', { ms })));
    query = next;
  }
  expect(walked.slice(0, expected.length)).toEqual(expected);
});

test('the last page has no link', async () => {
  const agentId = 'last-page';
  await giveToAgent(agentId, 3);
  const first = await list(`?agentId=${agentId}&limit=2`);
  expect(first.commands).toHaveLength(2);
  const second = await list(first.next);
  expect(second.commands).toHaveLength(1);
  expect(second.next).toBeUndefined();
  expect((await list(`?agentId=${agentId}&limit=3`)).next).toBeUndefined();
});

test('filters narrow the list, together, and the next page keeps them', async () => {
  for (let i = 0; i < 3; i += 1) {
    await submit(server().url, 'HTTP_GET_JSON', { url: 'http://localhost/' });
    await submit(server().url, 'DELAY', { ms: 1 });
  }
  await giveToAgent('a&b=c', 2);
  expect((await list('?agentId=a%26b%3Dc')).commands).toHaveLength(2);
  expect((await list('?agentId=a%26b%3Dc&status=PENDING&type=DELAY')).commands).toEqual([]);
  expect((await list('?type=NOPE')).commands).toEqual([]);

  const page = await list('?type=HTTP_GET_JSON&status=PENDING&limit=2');
  expect(page.next).toMatch(/^\?status=PENDING&type=HTTP_GET_JSON&limit=2&cursor=[\w-]+$/);
  const all = [...page.commands, ...(await list(page.next)).commands];
  expect(all.every(({ type, status }) => type === 'HTTP_GET_JSON' && status === 'PENDING')).toBe(
    true,
  );
  expect(new Set(ids(all)).size).toBe(4);
});

// Rows as agents leave them behind; the ticket goes with the command, as it always does.
async function giveToAgent(agentId: string, count: number): Promise<void> {
  const rows = Array.from({ length: count }, () => submit(server().url, 'DELAY', { ms: 1 }));
  const done = await Promise.all(rows);
  await database().pool.query(
    `with ticket as (delete from executor_queue.job where id = any ($2))
     update executor.commands
     set status = 'CANCELLED', agent_id = $1, finished_at = now()
     where id = any ($2)`,
    [agentId, done],
  );
}
