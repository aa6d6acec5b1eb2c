// What an agent makes of what a server, or something that takes itself for one, answers.

import pino from 'pino';
import { describe, expect, test, vi } from 'vitest';
import { Claimer } from '../../agent/claimer.ts';
import { Reporter } from '../../agent/reporter.ts';
import { checkServer } from '../../agent/transports/check-server.ts';
import { HttpTransport } from '../../agent/transports/http.ts';
import type { Report } from '../../db/agents.ts';
import { StartupError } from '../../db/errors.ts';
import { refusedUrl } from '../support/http-server.ts';
import { identity, info, problem, scriptServer, type Answer } from '../support/script-server.ts';

const log = pino({ level: 'silent' });
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
    onUnclaimed: () => {},
    onPause: () => {},
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
