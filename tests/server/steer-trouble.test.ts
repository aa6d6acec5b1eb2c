// Cancelling and retrying over REST when there is too much for one request, or its answer gets lost.

import { beforeEach, describe, expect, test } from 'vitest';
import { v7 } from 'uuid';
import { connect } from '../../db/connect.ts';
import { Gate } from '../../server/gate.ts';
import { walk } from '../../server/steering-walk.ts';
import { emptyLedger, useDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { startServer, useServer } from '../support/server.ts';
import { submit as submitMany } from '../support/session.ts';
import { answer, steering } from '../support/steering.ts';

const database = useDatabase();
const server = useServer(database);
const { send, delay, failed, statuses } = steering(database, server);

beforeEach(() => emptyLedger(database()));

const MINUTE_MS = 60_000;
const PATIENT = { timeout: 15_000 };

/** Steers nothing: so many commands, that all get one answer. */
function pages(total: number, answer: 'changed' | 'left') {
  let picked = 0;
  return {
    answers: ['changed', 'left'] as const,
    changes: ['changed'] as const,
    pick: async (limit: number) => {
      const ids = Array.from({ length: Math.min(limit, total - picked) }, () => v7());
      picked += ids.length;
      const isLast = ids.length < limit;
      return { ids, ...(!isLast && { next: { createdAt: '', id: '' } }) };
    },
    steer: async (ids: string[]) => ids.map(() => answer),
  };
}

function visit() {
  return {
    gate: new Gate({ maxInside: 1, maxAtWork: 1 }),
    gone: new AbortController().signal,
  };
}

describe('how far one request goes', () => {
  test('it changes so many and no more, and says that there is more', async () => {
    const limits = { maxChanged: 2_300, maxMs: MINUTE_MS };
    const { counts, more } = await walk(pages(5_000, 'changed'), visit(), limits);
    expect({ ...counts, more }).toEqual({ changed: 2_300, left: 0, more: true });
  });

  test('it takes so long and no longer, once something changed', async () => {
    const limits = { maxChanged: 100_000, maxMs: 0 };
    const late = await walk(pages(5_000, 'changed'), visit(), limits);
    expect(late).toEqual({ counts: { changed: 1_000, left: 0 }, more: true });
    const leftAlone = await walk(pages(5_000, 'left'), visit(), limits);
    expect(leftAlone).toEqual({ counts: { changed: 0, left: 5_000 }, more: false });
  });

  test('it ends when nobody waits for it any more', async () => {
    const { counts } = await walk(pages(5_000, 'changed'), {
      ...visit(),
      gone: AbortSignal.abort(),
    });
    expect(counts.changed).toBe(0);
  });

  test('the server goes no further when its client hangs up', async () => {
    await using own = await startServer(database());
    await submitMany(database(), 5_000);
    const { pool } = database();
    const holder = await pool.connect();
    await holder.query('begin; select from executor.commands order by id desc limit 1 for update');
    const abort = new AbortController();
    const cancelling = fetch(`${own.url}/commands/cancel`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{"filter":{"type":"DELAY"}}',
      signal: abort.signal,
    });
    const waiting = `select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`;
    await expect.poll(async () => (await pool.query(waiting)).rowCount, PATIENT).toBe(1);
    abort.abort();
    await expect(cancelling).rejects.toThrow('aborted');
    // Answered after the server has seen the other connection go.
    expect((await fetch(`${own.url}/health`)).status).toBe(200);
    await holder.query('commit');
    holder.release();
    const isOver = () => own.logged.some(({ path }) => path === '/commands/cancel');
    await expect.poll(isOver, PATIENT).toBe(true);
    expect(await statuses()).toEqual({ CANCELLED: 1_000, PENDING: 4_000 });
  });
});

async function throughProxy<T>(
  use: (url: string, cutReplyTo: (statement: RegExp) => Promise<void>) => Promise<T>,
): Promise<T> {
  await using proxy = await startProxy(database().url);
  const away = connect(proxy.url, { applicationName: 'proxied', max: 2 });
  try {
    await using own = await startServer(away);
    return await use(own.url, (statement) => proxy.cutReplyTo(statement));
  } finally {
    await away.close();
  }
}

describe('a COMMIT whose answer got lost', () => {
  test('does not turn what was cancelled into a conflict', async () => {
    const id = await delay();
    await throughProxy(async (url, cutReplyTo) => {
      const cut = cutReplyTo(/cancel_commands/);
      const cancelled = await answer(await send(`/commands/${id}/cancel`, undefined, url));
      await cut;
      expect(cancelled['status']).toBe('CANCELLED');
    });
  });

  test('retries nothing twice', async () => {
    const ids = [await failed(), await failed()];
    await throughProxy(async (url, cutReplyTo) => {
      const cut = cutReplyTo(/retry_commands/);
      await answer(await send(`/commands/${ids[0]}/retry`, undefined, url), 201);
      await cut;
      const cutAgain = cutReplyTo(/retry_commands/);
      const many = await answer(await send('/commands/retry', { ids }, url));
      await cutAgain;
      expect(many).toMatchObject({ retried: 1, retriedBefore: 1 });
    });
    expect(await statuses()).toEqual({ FAILED: 2, PENDING: 2 });
  });
});
