// What a command logged, page by page; and looking at a command that did not change.

import { expect, test } from 'vitest';
import { useDatabase } from '../support/database.ts';
import { expectProblem } from '../support/problems.ts';
import { useServer } from '../support/server.ts';
import { startSession, submit, type Session } from '../support/session.ts';

const database = useDatabase();
const server = useServer(database);

interface Line {
  attempt: number;
  no: number;
  at: string;
  line: string;
}

async function print(session: Session, id: string, attempt: number, count: number): Promise<void> {
  const lines = Array.from({ length: count }, (_, i) => ({
    no: i + 1,
    line: `${attempt}.${i + 1}`,
  }));
  await database().pool.query('select executor.report_progress($1, $2)', [
    session.session,
    JSON.stringify([{ id, attempt, lines }]),
  ]);
}

async function page(url: URL): Promise<{ lines: Line[]; next: URL | undefined }> {
  const response = await fetch(url);
  expect(response.status).toBe(200);
  const link = /^<(\?[^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1];
  return { lines: (await response.json()) as Line[], next: link ? new URL(link, url) : undefined };
}

const logOf = (id: string, query = '') => new URL(`/commands/${id}/logs${query}`, server().url);

test('lines come in order, attempt by attempt, page by page', async () => {
  await using session = await startSession(database());
  const [id = ''] = await submit(database());
  expect(await page(logOf(id))).toEqual({ lines: [], next: undefined });
  const claimed = await session.claim();
  await print(session, id, 1, 12);
  await session.release(claimed);
  await session.claim(1, 2);
  await print(session, id, 2, 3);

  const expected = [...Array.from({ length: 12 }, (_, i) => `1.${i + 1}`), '2.1', '2.2', '2.3'];
  const texts = (lines: Line[]) => lines.map(({ line }) => line);
  const whole = await page(logOf(id));
  expect(texts(whole.lines)).toEqual(expected);
  expect(whole.next).toBeUndefined();
  expect(whole.lines.at(-1)).toEqual({
    attempt: 2,
    no: 3,
    at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    line: '2.3',
  });

  const walked: Line[] = [];
  let next: URL | undefined = logOf(id, '?limit=5');
  while (next) {
    const found: Awaited<ReturnType<typeof page>> = await page(next);
    walked.push(...found.lines);
    next = found.next;
  }
  expect(walked).toEqual(whole.lines);
});

test('a page has 200 lines unless said, and never more than 1,000', async () => {
  await using session = await startSession(database());
  const [id = ''] = await submit(database());
  const claimed = await session.claim();
  await print(session, id, 1, 1_000);
  await session.release(claimed);
  await session.claim(1, 2);
  await print(session, id, 2, 1);
  expect((await page(logOf(id))).lines).toHaveLength(200);
  const most = await page(logOf(id, '?limit=5000'));
  expect(most.lines).toHaveLength(1_000);
  expect((await page(most.next!)).lines).toHaveLength(1);
});

test('the log of an unknown command is 404, and a wrong query 400', async () => {
  for (const id of ['nope', '0198a0de-0000-7000-8000-000000000001'])
    expect((await expectProblem(await fetch(logOf(id)), 404)).code).toBe('unknown_command');
  const [id = ''] = await submit(database());
  const forged = Buffer.from('[1,99999999999]').toString('base64url');
  for (const query of ['?limit=0', '?cursor=x', `?cursor=${forged}`, '?attempt=1'])
    await expectProblem(await fetch(logOf(id, query)), 400);
});

test('who has a command as it is need not get it again', async () => {
  await using session = await startSession(database());
  const [id = ''] = await submit(database());
  const url = `${server().url}/commands/${id}`;
  const first = await fetch(url);
  const tag = first.headers.get('etag') ?? '';
  expect(tag).toMatch(/^W\/"[\w-]+"$/);
  expect(first.headers.get('cache-control')).toBe('no-cache');

  for (const known of [tag, `"other", ${tag}`, tag.slice(2), '*']) {
    const again = await fetch(url, { headers: { 'If-None-Match': known } });
    expect(again.status).toBe(304);
    expect(again.headers.get('etag')).toBe(tag);
    expect(await again.text()).toBe('');
  }

  await session.claim();
  const running = await fetch(url, { headers: { 'If-None-Match': tag } });
  expect(running.status).toBe(200);
  expect(await running.json()).toMatchObject({ status: 'RUNNING' });
  const reports = JSON.stringify([{ id, attempt: 1, progress: 0.5 }]);
  await database().pool.query('select executor.report_progress($1, $2)', [
    session.session,
    reports,
  ]);
  const headers = { 'If-None-Match': running.headers.get('etag') ?? '' };
  const said = await fetch(url, { headers });
  expect(said.status).toBe(200);
  expect(await said.json()).toMatchObject({ progress: { value: 0.5, message: null } });
});
