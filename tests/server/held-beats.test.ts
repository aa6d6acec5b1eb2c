// Beats whose answer is held: until there is something to tell, and no longer than until the next is due.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { send, sessionClient } from '../support/client.ts';
import { submit, useServer } from '../support/server.ts';

const database = useDatabase();
const server = useServer(database);
const url = () => server().url;

beforeEach(() => emptyLedger(database()));
afterEach(() => beatEvery('5 seconds'));

async function beatEvery(interval: string): Promise<void> {
  await database().pool.query('update executor.settings set beat_interval = $1', [interval]);
}

const cancel = (id: string) => send(url(), 'POST', `/commands/${id}/cancel`);
const delay = () => submit(url(), 'DELAY', { ms: 1 });

test('one that was sent before its agent claimed hears of what is cancelled of that', async () => {
  const agent = await sessionClient(url);
  const held = agent.say<{ cancelled: string[] }>('beat', { running: [], wait: 30 });
  const id = await delay();
  expect((await agent.claim()).body).toMatchObject([{ id }]);
  await cancel(id);
  expect((await held).body.cancelled).toEqual([id]);
});

test("another session's are no news", async () => {
  const [agent, other] = [await sessionClient(url), await sessionClient(url)];
  const [mine, theirs] = [await delay(), await delay()];
  await agent.claim();
  await other.claim();
  const held = agent.say<{ cancelled: string[] }>('beat', { running: [], wait: 30 });
  await cancel(theirs);
  await cancel(mine);
  expect((await held).body.cancelled).toEqual([mine]);
});

test('none is held for longer than until the next is due', async () => {
  await beatEvery('200 ms');
  const agent = await sessionClient(url);
  const id = await delay();
  await agent.claim();
  const running = [{ id, attempt: 1 }];
  const answer = await agent.say('beat', { running, wait: 30 });
  expect(answer).toMatchObject({ status: 200, body: { cancelled: [], intervalMs: 200 } });
});
