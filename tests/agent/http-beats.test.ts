// When an agent's lifeline beats over HTTP, and what it makes of the answers.

import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import type { AgentState, FromLifeline } from '../../agent/lifeline-messages.ts';
import { HttpLifelineThread } from '../../agent/lifeline-thread-http.ts';
import { listenTo, newWorkBell } from '../../agent/work-bell.ts';
import { identity, info, problem, scriptServer, type Answer } from '../support/script-server.ts';

const calm = { revoked: [], cancelled: [], ready: false, drain: false, intervalMs: 5_000 };
const said = { running: [{ id: 'x', attempt: 1 }], settledClaimNo: 4, draining: false };
const state: AgentState = { ...said, waits: false };
const idle: AgentState = { ...state, running: [], waits: true };

/** A lifeline in this thread, whose main thread the test plays. */
async function startLifeline(url: string, first = state) {
  let now = first;
  const heard: FromLifeline[] = [];
  const workBell = newWorkBell();
  const onWork = vi.fn();
  void listenTo(workBell, onWork);
  const setup = {
    serverUrl: url,
    registration: { ...identity, ...info, contracts: [] },
    workBell,
  };
  const thread = new HttpLifelineThread(setup, (message) => {
    heard.push(message);
    setImmediate(() => {
      if (message.kind === 'ask') thread.heed({ kind: 'state', state: now });
      if (message.kind === 'cancelled') thread.heed({ kind: 'heardOfCancels' });
    });
  });
  await thread.open();
  const kinds = (kind: string) => heard.filter((message) => message.kind === kind);
  const tell = (kind: 'beat' | 'busy', next: AgentState) => {
    now = next;
    thread.heed({ kind, state: next });
  };
  return { thread, tell, kinds, onWork, [Symbol.asyncDispose]: () => thread.close() };
}

test('a beat is held from the second on, while something runs', async () => {
  const endless = Promise.withResolvers<Answer>();
  await using server = await scriptServer((_path, { wait }) =>
    wait === 0 ? { body: calm } : endless.promise,
  );
  await using _lifeline = await startLifeline(server.url);
  await vi.waitFor(() => expect(server.asked).toHaveLength(2));
  expect(server.asked.map(({ body }) => body)).toEqual([
    { session: identity.session, ...said, wait: 0 },
    { session: identity.session, ...said, wait: 5 },
  ]);
  endless.resolve({ body: calm });
});

test('a beat that is held is given up for a state that the ledger should know at once', async () => {
  const endless = Promise.withResolvers<Answer>();
  await using server = await scriptServer((_path, { wait }) =>
    wait === 0 ? { body: calm } : endless.promise,
  );
  await using lifeline = await startLifeline(server.url);
  await vi.waitFor(() => expect(server.asked).toHaveLength(2), 5_000);
  lifeline.thread.heed({ kind: 'beat', state: { ...state, draining: true } });
  await vi.waitFor(() => expect(server.asked).toHaveLength(3), 5_000);
  expect(server.asked.map(({ body }) => body['wait'])).toEqual([0, 5, 5]);
  endless.resolve({ body: calm });
});

describe('the beat of one that runs nothing, and whose claim waits at a server', () => {
  test('is one a minute, and another as soon as it has been busy for a moment', async () => {
    await using server = await scriptServer(() => ({ body: calm }));
    await using lifeline = await startLifeline(server.url, idle);
    await vi.waitFor(() => expect(server.asked).toHaveLength(1));
    lifeline.tell('busy', state);
    lifeline.tell('busy', idle);
    await sleep(300);
    expect(server.asked).toHaveLength(1);
    lifeline.tell('busy', state);
    await vi.waitFor(() => expect(server.asked.length).toBeGreaterThan(2));
    expect(server.asked[1]?.body).toMatchObject({ running: said.running });
    lifeline.tell('busy', idle);
    await vi.waitFor(() => expect(server.asked.at(-1)?.body).toMatchObject({ running: [] }));
    const beats = server.asked.length;
    await sleep(300);
    expect(server.asked).toHaveLength(beats);
  });

  test('comes at once when there is something to say', async () => {
    await using server = await scriptServer(() => ({ body: calm }));
    await using lifeline = await startLifeline(server.url, idle);
    await vi.waitFor(() => expect(server.asked).toHaveLength(1));
    lifeline.tell('beat', { ...idle, settledClaimNo: 5 });
    await vi.waitFor(() => expect(server.asked).toHaveLength(2));
    expect(server.asked[1]?.body).toMatchObject({ settledClaimNo: 5 });
  });

  test('goes on where beats are due more often than servers say that those who wait live', async () => {
    await using server = await scriptServer(() => ({ body: { ...calm, intervalMs: 4_000 } }));
    await using _lifeline = await startLifeline(server.url, idle);
    await vi.waitFor(() => expect(server.asked.length).toBeGreaterThan(2));
  });

  test('goes on after one without an answer', async () => {
    let left = 3;
    await using server = await scriptServer(() =>
      (left -= 1) >= 0 ? { status: 502, body: '' } : { body: calm },
    );
    await using _lifeline = await startLifeline(server.url, idle);
    await vi.waitFor(() => expect(server.asked).toHaveLength(4), 5_000);
  });
});

test('a beat tells what is cancelled and revoked, that work waits, and of a drain once', async () => {
  let beats = 0;
  await using server = await scriptServer(() => {
    beats += 1;
    const body = { ...calm, intervalMs: 20, ready: true, drain: beats < 5, cancelled: ['y'] };
    return { body: { ...body, revoked: ['x'] } };
  });
  await using lifeline = await startLifeline(server.url);
  await vi.waitFor(() => expect(beats).toBeGreaterThan(6), 5_000);
  expect(lifeline.kinds('revoked')[0]).toMatchObject({ attempts: [{ id: 'x', attempt: 1 }] });
  expect(lifeline.kinds('cancelled')[0]).toMatchObject({ ids: ['y'] });
  expect(lifeline.onWork).toHaveBeenCalled();
  expect(lifeline.kinds('log')).toMatchObject([
    { level: 'info', line: ['to be drained: claims find nothing'] },
    { level: 'info', line: ['no longer drained'] },
  ]);
});

test('a beat that is refused as superseded is the last', async () => {
  await using server = await scriptServer(() => problem(409, 'superseded'));
  await using lifeline = await startLifeline(server.url);
  await vi.waitFor(() => expect(lifeline.kinds('superseded')).toHaveLength(1));
  lifeline.thread.heed({ kind: 'beat', state });
  expect(server.asked).toHaveLength(1);
});

test('a beat of an agent that the server does not know is preceded by its registration', async () => {
  await using server = await scriptServer((path) => {
    if (path === '/agents') return { status: 201, body: { takenBack: 0 } };
    const isKnown = server.asked.some((request) => request.path === '/agents');
    return isKnown ? { body: calm } : problem(404, 'unknown_agent');
  });
  await using _lifeline = await startLifeline(server.url);
  await vi.waitFor(() => expect(server.asked.length).toBeGreaterThan(2));
  expect(server.asked.slice(0, 3).map(({ path }) => path)).toEqual([
    '/agents/a/beat',
    '/agents',
    '/agents/a/beat',
  ]);
});

test('a beat of an agent that has signed off does not register it again', async () => {
  await using server = await scriptServer(() => problem(404, 'unknown_agent'));
  await using lifeline = await startLifeline(server.url, { ...state, draining: true });
  await vi.waitFor(() => expect(server.asked.length).toBeGreaterThan(0));
  const asked = server.asked.length;
  lifeline.thread.heed({ kind: 'beat', state: { ...state, draining: true } });
  await vi.waitFor(() => expect(server.asked.length).toBeGreaterThan(asked));
  expect(new Set(server.asked.map(({ path }) => path))).toEqual(new Set(['/agents/a/beat']));
});

test('a beat without an answer is repeated soon, which is said once', async () => {
  let left = 3;
  await using server = await scriptServer(() =>
    (left -= 1) >= 0 ? { status: 502, body: '' } : { body: calm },
  );
  await using lifeline = await startLifeline(server.url);
  await vi.waitFor(() => expect(server.asked.length).toBeGreaterThan(3), 8_000);
  await vi.waitFor(() =>
    expect(lifeline.kinds('log').map((said) => 'level' in said && said.level)).toEqual([
      'warn',
      'debug',
      'debug',
      'info',
    ]),
  );
});
