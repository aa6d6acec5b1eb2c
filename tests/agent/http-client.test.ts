// What an agent makes of what a server, or something that takes itself for one, answers.

import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import pino from 'pino';
import { describe, expect, test, vi } from 'vitest';
import { Claimer } from '../../agent/claimer.ts';
import { HttpLifelineThread } from '../../agent/lifeline-thread-http.ts';
import type { FromLifeline } from '../../agent/lifeline-messages.ts';
import { Reporter } from '../../agent/reporter.ts';
import { checkServer } from '../../agent/transports/check-server.ts';
import { HttpTransport } from '../../agent/transports/http.ts';
import { listenTo, newWorkBell } from '../../agent/work-bell.ts';
import type { Report } from '../../db/agents.ts';
import { StartupError } from '../../db/errors.ts';
import { refusedUrl, startHttpServer } from '../support/http-server.ts';

const log = pino({ level: 'silent' });
const identity = { agentId: 'a', session: randomUUID() };
const info = {
  queues: ['default'],
  types: ['DELAY'],
  concurrency: 1,
  host: 'h',
  pid: 1,
  version: '0',
};

/** A request's body, as the server gets it. */
type Body = Record<string, unknown>;

interface Answer {
  status?: number;
  body?: unknown;
}

/** A server that answers what the test says, at once or later, and keeps what it was asked. */
async function scriptServer(answer: (path: string, body: Body) => Answer | Promise<Answer>) {
  const asked: { path: string; body: Body; headers: IncomingMessage['headers'] }[] = [];
  const reply = async (request: IncomingMessage, response: ServerResponse) => {
    const body = JSON.parse((await text(request)) || '{}') as Body;
    const path = request.url ?? '';
    asked.push({ path, body, headers: request.headers });
    const { status = 200, body: said } = await answer(path, body);
    response.writeHead(status).end(typeof said === 'string' ? said : JSON.stringify(said));
  };
  const server = await startHttpServer((request, response) => void reply(request, response));
  return {
    url: server.url,
    asked,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

function problem(status: number, code: string): Answer {
  return { status, body: { code, detail: `that is ${code}` } };
}

const accepted = (reports: Report[]) => ({ body: { answers: reports.map(() => 'accepted') } });

describe('the address', () => {
  test('may have a path, which stays in front, and a user and password, which become a header', async () => {
    await using server = await scriptServer(() => ({ status: 201, body: { takenBack: 3 } }));
    const { host } = new URL(server.url);
    for (const end of ['', '/']) {
      const transport = new HttpTransport(`http://u%40x:p@${host}/some/where${end}`, identity, 100);
      expect(await transport.register(info, [])).toBe(3);
      await transport.close();
    }
    for (const { path, body, headers } of server.asked) {
      expect(path).toBe('/some/where/agents');
      expect(body).toEqual({ ...identity, ...info, contracts: [] });
      expect(headers.authorization).toBe(`Basic ${btoa('u@x:p')}`);
    }
    expect(server.asked).toHaveLength(2);
  });

  test.each([
    [{ body: '<h1>Welcome</h1>' }, /^There is no agent-executor server at http.+not JSON$/],
    [{ body: { hello: 'world' } }, /^There is no agent-executor server at http.+something else$/],
    [{ status: 404, body: '<h1>Not Found</h1>' }, /^There is no agent-executor server at .+404$/],
    [{ status: 301, body: '' }, /^There is no agent-executor server at .+301$/],
    [{ status: 502, body: 'Bad Gateway' }, /^Cannot reach the server at http.+502$/],
    [problem(503, 'database_unavailable'), /^Cannot reach the server at .+503 that is database/],
  ])('of a server that answers %j is known for what it is', async (answer, message) => {
    await using server = await scriptServer(() => answer);
    await expect(checkServer(server.url)).rejects.toThrow(message);
    expect(server.asked).toMatchObject([{ path: '/health' }]);
  });

  test('of a server may say more than it must', async () => {
    await using server = await scriptServer(() => ({ body: { status: 'ok', more: 1 } }));
    await expect(checkServer(server.url)).resolves.toBeUndefined();
  });

  test('of a server that refuses the agent ends its start with one line', async () => {
    await using server = await scriptServer(() => problem(409, 'type_is_built_in'));
    const transport = new HttpTransport(server.url, identity, 100);
    const refused = transport.register(info, []);
    await expect(refused).rejects.toThrow(StartupError);
    await expect(refused).rejects.toThrow(/^Cannot register: .+ 409 that is type_is_built_in$/);
    await transport.close();
  });

  test('of nobody is known for what it is', async () => {
    const url = await refusedUrl();
    await expect(checkServer(url)).rejects.toThrow(/^Cannot reach the server at .+ECONNREFUSED/);
  });
});

describe('a report', () => {
  const journal = { record: () => Promise.resolve(1), acknowledge: () => {} };

  async function report(answer: (reports: Report[]) => Answer, count: number) {
    await using server = await scriptServer((_path, body) => answer(body['reports'] as Report[]));
    const transport = new HttpTransport(server.url, identity, 100);
    const reporter = new Reporter({ journal, finish: (some) => transport.finish(some), log });
    const answers = await Promise.all(
      Array.from({ length: count }, (_, i) =>
        reporter.report({
          report: { id: String(i), attempt: 1, outcome: 'completed', result: i },
          executedAt: 0,
        }),
      ),
    );
    await transport.close();
    return { answers, asked: server.asked.map(({ body }) => body['reports'] as Report[]) };
  }

  test.each([
    [422, 'unstorable_result'],
    [400, 'invalid_body'],
    [413, 'body_too_large'],
  ])('that is refused with %i fails alone, for good', async (status, code) => {
    const { answers, asked } = await report(
      (reports) =>
        reports.some((one) => one.id === '2' && one.outcome === 'completed')
          ? problem(status, code)
          : accepted(reports),
      5,
    );
    expect(answers).toEqual(Array(5).fill('accepted'));
    const failed = asked.flat().filter(({ outcome }) => outcome === 'failed');
    expect(failed).toMatchObject([
      { id: '2', error: { code: 'unstorable_result', retryable: false } },
    ]);
  });

  test('that something in between finds too large goes in smaller pieces', async () => {
    const { answers, asked } = await report(
      (reports) =>
        reports.length > 3 ? { status: 413, body: '<h1>Too Large</h1>' } : accepted(reports),
      10,
    );
    expect(answers).toEqual(Array(10).fill('accepted'));
    expect(asked.map(({ length }) => length)).toEqual([10, 5, 3, 2, 5, 3, 2]);
  });

  test.each([500, 503, 400, 404, 429])('is repeated after a bare %i', async (status) => {
    let left = 2;
    const { answers } = await report(
      (reports) => ((left -= 1) >= 0 ? { status, body: 'no' } : accepted(reports)),
      1,
    );
    expect(answers).toEqual(['accepted']);
  });
});

/** Claims until the test is over. */
function startClaiming(url: string, pollIntervalMs: number) {
  const transport = new HttpTransport(url, identity, pollIntervalMs);
  const claimer = new Claimer({
    demand: () => ({ limit: 5, ahead: 0 }),
    canRecord: () => true,
    claim: (demand) => transport.claim(demand),
    endClaim: () => transport.endClaim(),
    pollIntervalMs,
    onClaimed: () => Promise.resolve(),
    log,
  });
  claimer.wake();
  const stop = async () => {
    await claimer.stop();
    await transport.close();
  };
  return { transport, [Symbol.asyncDispose]: stop };
}

describe('a claim', () => {
  test.each([{ body: [] }, { status: 503, body: '' }, { status: 404, body: '' }])(
    'that is answered %j at once is repeated after POLL_INTERVAL, not before',
    async (answer) => {
      const times: number[] = [];
      await using server = await scriptServer(() => {
        times.push(performance.now());
        return answer;
      });
      await using _claiming = startClaiming(server.url, 200);
      await vi.waitFor(() => expect(times.length).toBeGreaterThan(4), 5_000);
      const gapsMs = times.slice(1).map((time, i) => time - times[i]!);
      expect(Math.min(...gapsMs)).toBeGreaterThan(90);
      expect(server.asked.map(({ body }) => body['claimNo'])).toEqual(times.map((_, i) => i + 1));
      expect(server.asked[0]?.body).toEqual({ ...identity, claimNo: 1, limit: 5, wait: 50 });
    },
  );

  test('that brought something is followed by the next at once', async () => {
    const command = {
      type: 'DELAY',
      payload: {},
      attempt: 1,
      timeoutMs: 1,
      cancelRequestedAt: null,
    };
    await using server = await scriptServer(() => ({ body: [{ id: 'x', ...command }] }));
    await using _claiming = startClaiming(server.url, 60_000);
    await vi.waitFor(() => expect(server.asked.length).toBeGreaterThan(4));
  });

  test('that waits ends at once when the agent stops, and counts as settled', async () => {
    const endless = Promise.withResolvers<Answer>();
    await using server = await scriptServer(() => endless.promise);
    const claiming = startClaiming(server.url, 100);
    await vi.waitFor(() => expect(server.asked).toHaveLength(1));
    expect(claiming.transport.settledClaimNo).toBe(0);
    await claiming[Symbol.asyncDispose]();
    expect(claiming.transport.settledClaimNo).toBe(1);
    endless.resolve({ body: [] });
  });
});

describe('a beat', () => {
  const calm = { revoked: [], cancelled: [], ready: false, drain: false, intervalMs: 5_000 };
  const state = { running: [{ id: 'x', attempt: 1 }], settledClaimNo: 4, draining: false };

  /** A lifeline in this thread, whose main thread the test plays. */
  async function startLifeline(url: string, said = state) {
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
        if (message.kind === 'ask') thread.heed({ kind: 'state', state: said });
        if (message.kind === 'cancelled') thread.heed({ kind: 'heardOfCancels' });
      });
    });
    await thread.open();
    const kinds = (kind: string) => heard.filter((message) => message.kind === kind);
    return { thread, kinds, onWork, [Symbol.asyncDispose]: () => thread.close() };
  }

  test('is held from the second on, while something runs', async () => {
    const endless = Promise.withResolvers<Answer>();
    await using server = await scriptServer((_path, { wait }) =>
      wait === 0 ? { body: calm } : endless.promise,
    );
    await using _lifeline = await startLifeline(server.url);
    await vi.waitFor(() => expect(server.asked).toHaveLength(2));
    expect(server.asked.map(({ body }) => body)).toEqual([
      { session: identity.session, ...state, wait: 0 },
      { session: identity.session, ...state, wait: 5 },
    ]);
    endless.resolve({ body: calm });
  });

  test('that is held is given up for a state that the ledger should know at once', async () => {
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

  test('tells what is cancelled and revoked, that work waits, and of a drain once', async () => {
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

  test('that is refused as superseded is the last', async () => {
    await using server = await scriptServer(() => problem(409, 'superseded'));
    await using lifeline = await startLifeline(server.url);
    await vi.waitFor(() => expect(lifeline.kinds('superseded')).toHaveLength(1));
    lifeline.thread.heed({ kind: 'beat', state });
    expect(server.asked).toHaveLength(1);
  });

  test('of an agent that the server does not know is preceded by its registration', async () => {
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

  test('of an agent that has signed off does not register it again', async () => {
    await using server = await scriptServer(() => problem(404, 'unknown_agent'));
    await using lifeline = await startLifeline(server.url, { ...state, draining: true });
    await vi.waitFor(() => expect(server.asked.length).toBeGreaterThan(0));
    const asked = server.asked.length;
    lifeline.thread.heed({ kind: 'beat', state: { ...state, draining: true } });
    await vi.waitFor(() => expect(server.asked.length).toBeGreaterThan(asked));
    expect(new Set(server.asked.map(({ path }) => path))).toEqual(new Set(['/agents/a/beat']));
  });

  test('without an answer is repeated soon, which is said once', async () => {
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
});
