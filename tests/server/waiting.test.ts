// Agents that wait for work at the server, and what is claimed for those that go away.

import { connect as connectSocket } from 'node:net';
import { describe, expect, test, vi } from 'vitest';
import { useAgentsApi } from '../support/agents-api.ts';
import { DELAY_RESULT, send, sessionClient, simpleClient } from '../support/client.ts';
import { startServer } from '../support/server.ts';
import { row } from '../support/session.ts';

const { database, url, delay, query } = useAgentsApi();

/** Waits until so many agents wait at the server: their first look is over. */
const untilWaiting = (count: number) =>
  vi.waitFor(async () => {
    const [agents] = await query(`select count(*)::int from executor.agents`);
    expect(agents).toEqual({ count });
  });

describe('waiting for work', () => {
  test('a command that comes later is answered at once, and the wait ends without one', async () => {
    const client = simpleClient(url, 'W');
    const polled = client.next('&wait=30');
    await untilWaiting(1);
    const id = await delay();
    expect((await polled).body.id).toBe(id);
    await client.report(id, { result: DELAY_RESULT });
    expect((await client.next('&wait=1')).status).toBe(204);
  });

  test('each of many that wait gets one of a burst, and nobody gets two', async () => {
    const clients = Array.from({ length: 60 }, (_, i) => simpleClient(url, `many-${i}`));
    const polled = clients.map((client) => client.next('&wait=30'));
    await untilWaiting(60);
    const commands = Array.from({ length: 60 }, () => ({ type: 'DELAY', payload: { ms: 1 } }));
    const batch = await send(url(), 'POST', '/commands/batch', { commands });
    const got = await Promise.all(polled);
    expect(new Set(got.map(({ body }) => body.id))).toEqual(
      new Set(batch.body['commandIds'] as string[]),
    );
    expect(got.every(({ body }) => body.attempt === 1)).toBe(true);
  });

  test('what is meant for one that waits goes to it', async () => {
    const one = simpleClient(url, 'one').next('&wait=5');
    const two = simpleClient(url, 'two').next('&wait=5');
    await untilWaiting(2);
    const id = await delay({ target: { agentId: 'two' } });
    expect((await two).body.id).toBe(id);
    const rest = await delay();
    expect((await one).body.id).toBe(rest);
  });

  test('one that was asked to drain gets nothing, and does not stand in the way', async () => {
    const drained = simpleClient(url, 'drained').next('&wait=30');
    await untilWaiting(1);
    await query(`select executor.drain_agent('drained')`);
    const other = simpleClient(url, 'other').next('&wait=30');
    await untilWaiting(2);
    const [first, second] = [await delay(), await delay({ target: { agentId: 'drained' } })];
    expect((await other).body.id).toBe(first);
    expect(await row(database(), second)).toMatchObject({ status: 'PENDING' });
    await query(`select executor.resume_agent('drained')`);
    expect((await drained).body.id).toBe(second);
  });

  test('of two polls of one agent the newer counts', async () => {
    const client = simpleClient(url, 'twice');
    const older = client.next('&wait=30');
    await untilWaiting(1);
    const newer = client.next('&wait=30');
    expect((await older).status).toBe(204);
    const id = await delay();
    expect((await newer).body.id).toBe(id);
  });

  test('a client that goes away while it waits loses no command', async () => {
    const abort = new AbortController();
    const polled = fetch(`${url()}/commands/next?agentId=away&wait=30`, { signal: abort.signal });
    await untilWaiting(1);
    abort.abort();
    await expect(polled).rejects.toThrow('abort');
    const id = await delay();
    const other = await simpleClient(url, 'other').next('&wait=5');
    expect(other.body).toMatchObject({ id });
  });

  test('what is claimed for one that goes away in that moment goes back at once', async () => {
    // What a claim has to read is locked, so that it waits, and with it the answer.
    const blocker = await database().pool.connect();
    try {
      await simpleClient(url, 'away').next();
      const id = await delay();
      await blocker.query('begin; lock table executor.lanes in access exclusive mode');
      const abort = new AbortController();
      const polled = fetch(`${url()}/commands/next?agentId=away`, { signal: abort.signal });
      await vi.waitFor(async () =>
        expect(
          await query(
            `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%claim_many%'`,
          ),
        ).toHaveLength(1),
      );
      abort.abort();
      await expect(polled).rejects.toThrow('abort');
      await blocker.query('commit');
      await vi.waitFor(async () => {
        const { status, attempt } = await row(database(), id);
        expect([status, attempt]).toEqual(['PENDING', 1]);
      });
      expect(await query('select outcome from executor.attempts')).toEqual([
        { outcome: 'unstarted' },
      ]);
    } finally {
      await blocker.query('rollback');
      blocker.release();
    }
  });

  test('an agent whose row somebody holds does not hold up the others', async () => {
    await simpleClient(url, 'held').next();
    const blocker = await database().pool.connect();
    try {
      await blocker.query(`begin; select from executor.agents where id = 'held' for update`);
      const held = simpleClient(url, 'held').next('&wait=5');
      const id = await delay();
      expect((await simpleClient(url, 'other').next('&wait=5')).body.id).toBe(id);
      await blocker.query('commit');
      const next = await delay();
      expect((await held).body.id).toBe(next);
    } finally {
      await blocker.query('rollback');
      blocker.release();
    }
  });

  test('an answer that its client never read goes back, too', async () => {
    const { port } = new URL(url());
    const socket = connectSocket({ host: '127.0.0.1', port: Number(port) });
    socket.pause();
    socket.write('GET /commands/next?agentId=deaf&wait=30 HTTP/1.1\r\nHost: x\r\n\r\n');
    await untilWaiting(1);
    const id = await delay();
    await vi.waitFor(async () =>
      expect(await row(database(), id)).toMatchObject({ status: 'RUNNING' }),
    );
    socket.resetAndDestroy();
    await vi.waitFor(async () =>
      expect(await row(database(), id)).toMatchObject({ status: 'PENDING', attempt: 1 }),
    );
  });

  test('the server lets go of all who wait when it stops', async () => {
    const stopping = await startServer(database());
    const polled = simpleClient(() => stopping.url, 'held').next('&wait=60');
    await untilWaiting(1);
    await stopping[Symbol.asyncDispose]();
    expect((await polled).status).toBe(204);
  });

  test('a wake-up that was lost costs no more than the time to the next sign of life', async () => {
    await query(`update executor.queues set paused_at = now()`);
    const polled = simpleClient(url, 'asleep').next('&wait=30');
    await untilWaiting(1);
    const id = await delay();
    // By hand, which tells nobody.
    await query(`update executor.queues set paused_at = null`);
    expect((await polled).body.id).toBe(id);
  });

  test('what one was woken for that cannot claim any more goes to another', async () => {
    const superseded = await sessionClient(url);
    const first = superseded.claim({ wait: 30 });
    await untilWaiting(1);
    const second = simpleClient(url, 'second').next('&wait=4');
    await untilWaiting(2);
    await query('update executor.agents set session = gen_random_uuid() where id = $1', [
      superseded.agentId,
    ]);
    const id = await delay();
    expect((await first).status).toBe(409);
    expect((await second).body).toMatchObject({ id });
  });

  test('the beat of one that waits wakes it, if there is work', async () => {
    await query(`update executor.queues set paused_at = now()`);
    const agent = await sessionClient(url);
    // Before the server's own sign of life would do so.
    const claimed = agent.claim({ wait: 4 });
    await untilWaiting(1);
    const id = await delay();
    await query(`update executor.queues set paused_at = null`);
    await agent.say('beat', { running: [] });
    expect((await claimed).body).toMatchObject([{ id }]);
  });

  test('who waits gives signs of life, and nothing else is sent', async () => {
    const polled = simpleClient(url, 'idle').next('&wait=30');
    await untilWaiting(1);
    await query(`update executor.agents set beat_clock = beat_clock - 3600000`);
    const age = async () =>
      (
        await query(
          `select executor.observed_ms() - beat_clock < 60000 as fresh from executor.agents`,
        )
      )[0];
    await vi.waitFor(async () => expect(await age()).toEqual({ fresh: true }), { timeout: 10_000 });
    const id = await delay();
    expect((await polled).body.id).toBe(id);
  });
});
