// The network between an agent and Postgres fails: replies get lost, connections die without a word.

import { expect, test, vi } from 'vitest';
import { expectStatus } from '../support/agent.ts';
import { useDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { row, submit } from '../support/session.ts';
import { useSystem } from '../support/system.ts';

const database = useDatabase();
const system = useSystem(database);

const outcomes = async (id: string | undefined) =>
  (await system.attempts(id)).map(({ outcome }) => outcome);

test('a claim whose reply was lost is back after the next beat', async () => {
  await system.settings(1_000, 15_000);
  await using proxy = await startProxy(database().url);
  await system.agent('unlucky', { DATABASE_URL: proxy.url });
  const cut = proxy.cutReplyTo(/executor\.claim\(/);
  const [id] = await submit(database());
  await cut;
  expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
  await expectStatus(database(), 'COMPLETED', 1);
  expect(await outcomes(id)).toEqual(['unstarted', 'completed']);
  expect(await row(database(), id)).toMatchObject({ failures: 0, losses: 0 });
});

test('a report whose answer was lost is repeated, and counts once', async () => {
  await system.settings(1_000, 15_000);
  await using proxy = await startProxy(database().url);
  const agent = await system.agent('unlucky', { DATABASE_URL: proxy.url });
  const cut = proxy.cutReplyTo(/executor\.finish/);
  const [id] = await submit(database(), 1, { ms: 100 });
  await cut;
  const finished = await row(database(), id);
  expect(finished).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  const [next] = await submit(database());
  await expectStatus(database(), 'COMPLETED', 2);
  expect(await row(database(), id)).toEqual(finished);
  expect(await outcomes(next)).toEqual(['completed']);
  expect(agent.output()).not.toContain('came too late');
});

test('a lifeline that is dead without a word is noticed, and no agent is lost by it', async () => {
  await system.settings(1_000, 15_000);
  await system.server();
  await using proxy = await startProxy(database().url);
  const agent = await system.agent('deaf', { DATABASE_URL: proxy.url });
  await system.watched();
  expect(proxy.blackhole(/ lifeline /)).toBe(1);
  const [id] = await submit(database());
  await expectStatus(database(), 'COMPLETED', 1, 12_000);
  expect(agent.output()).toContain('lost the listening connection');
  expect(await outcomes(id)).toEqual(['completed']);
  expect(await system.stateOf('deaf')).toBe('idle');
});

test('an agent that is cut off is lost, and what it ran meanwhile changes nothing', async () => {
  await system.settings(700, 2_000);
  await system.server();
  await using proxy = await startProxy(database().url);
  const cutOff = await system.agent('cut-off', { DATABASE_URL: proxy.url });
  const ids = await submit(database(), 3, { ms: 2_500 });
  // It must have heard what it claimed.
  await vi.waitFor(async () => {
    const { rows } = await database().pool.query(
      `select running from executor.agents where id = 'cut-off'`,
    );
    expect(rows).toEqual([{ running: 3 }]);
  }, 5_000);
  const reconnect = proxy.blackholeAll();
  await system.agent('heir');
  await expectStatus(database(), 'COMPLETED', 3);
  const before = await Promise.all(ids.map((id) => row(database(), id)));
  reconnect();
  proxy.cut();
  await vi.waitFor(
    () => expect(cutOff.output().match(/"msg":"the report came too late"/g)).toHaveLength(3),
    { timeout: 10_000 },
  );
  expect(await Promise.all(ids.map((id) => row(database(), id)))).toEqual(before);
  for (const id of ids) expect(await outcomes(id)).toEqual(['lost', 'completed']);
  await vi.waitFor(async () => expect(await system.stateOf('cut-off')).toBe('idle'), 5_000);
});
