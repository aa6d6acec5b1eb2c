// Results of agents over HTTP: those that cannot be taken in, that come twice, or after the end.

import { describe, expect, test } from 'vitest';
import { useAgentsApi } from '../support/agents-api.ts';
import { DELAY_RESULT, send, sessionClient, simpleClient } from '../support/client.ts';
import { expectProblem } from '../support/problems.ts';
import { submit } from '../support/server.ts';
import { row } from '../support/session.ts';

const { database, url, delay } = useAgentsApi();

// Each row: what is wrong, the bytes of the result, the pointer.
const results: [string, string, string][] = [
  ['nested 521 deep', '['.repeat(520) + ']'.repeat(520), `#/result${'/0'.repeat(519)}`],
  ['with NUL in text', '{"a":["\\u0000"]}', '#/result/a/0'],
  ['with NUL in a name', '{"a\\u0000":1}', '#/result/a%00'],
  ['with half a surrogate pair', '"\\ud800"', '#/result'],
  ['with __proto__', '{"__proto__":1}', '#/result/__proto__'],
  ['with a number beyond range', '[1e400]', '#/result/0'],
];

/** The attempt goes on, and a good result is taken. */
async function expectGoodResult(id: string, agentId: string): Promise<void> {
  expect(await row(database(), id)).toMatchObject({ status: 'RUNNING', attempt: 1 });
  const { status } = await simpleClient(url, agentId).report(id, { result: DELAY_RESULT });
  expect(status).toBe(200);
}

/** Puts a result as it stands. */
function putResult(id: string, body: string): Promise<Response> {
  const headers = { 'Content-Type': 'application/json' };
  return fetch(`${url()}/commands/${id}/result`, { method: 'PUT', headers, body });
}

describe('results that cannot be taken in leave the attempt as it is', () => {
  test.each(results)('%s', async (_, result, pointer) => {
    const id = await delay();
    await simpleClient(url, 'X').next();
    const response = await putResult(id, `{"agentId":"X","result":${result}}`);
    const problem = await expectProblem(response, 400);
    expect(problem).toMatchObject({ code: 'unacceptable_json', errors: [{ pointer }] });
    await expectGoodResult(id, 'X');
  });

  test('of nine megabytes', async () => {
    const id = await delay();
    await simpleClient(url, 'X').next();
    const body = JSON.stringify({ agentId: 'X', result: 'x'.repeat(9 * 1024 * 1024) });
    const problem = await expectProblem(await putResult(id, body), 413);
    expect(problem).toMatchObject({ code: 'body_too_large', errors: [{ pointer: '#' }] });
    await expectGoodResult(id, 'X');
  });

  test('among others, which are not taken in then either', async () => {
    const agent = await sessionClient(url);
    const ids = [await delay(), await delay()];
    await agent.claim({ limit: 2 });
    const reports = ids.map((id) => ({ id, attempt: 1, outcome: 'completed', result: '\0' }));
    reports[0]!.result = 'fine';
    const answer = await agent.say('results', { reports });
    expect(answer).toMatchObject({ status: 400, body: { code: 'unacceptable_json' } });
    expect(answer.body['errors']).toMatchObject([{ pointer: '#/reports/1/result' }]);
    for (const id of ids) await expectGoodResult(id, agent.agentId);
  });
});

describe('results of what has ended', () => {
  const error = { message: 'no luck', retryable: false };
  const endings: [string, object, object][] = [
    ['COMPLETED', { result: DELAY_RESULT }, { result: { ok: true, tookMs: 2 } }],
    ['FAILED', { error }, { error: { ...error, message: 'other words' } }],
    ['CANCELLED', { outcome: 'cancelled', error }, { error }],
  ];

  test.each(endings)('%s: the same again is the same, another is refused', async (...ending) => {
    const [status, report, other] = ending;
    const { agentId, session, ...agent } = await sessionClient(url);
    const id = await delay();
    await agent.claim();
    if (status === 'CANCELLED') await send(url(), 'POST', `/commands/${id}/cancel`);
    const put = (from: object) => send(url(), 'PUT', `/commands/${id}/result`, from);
    const whole = { agentId, session, attempt: 1 };
    for (let i = 0; i < 2; i += 1)
      expect(await put({ ...whole, ...report })).toMatchObject({ status: 200 });
    for (const late of [other, { result: { ok: true, tookMs: 3 } }])
      expect(await put({ ...whole, ...late })).toMatchObject({
        status: 409,
        body: { code: 'not_owner', errors: [{ pointer: '#/path/id' }] },
      });
    // Who says neither attempt nor session means the attempt that runs, and none does.
    expect(await put({ agentId, ...report })).toMatchObject({ status: 409 });
    expect(await row(database(), id)).toMatchObject({ status, attempt: 1 });
  });

  test('of two that contradict each other at once, one counts and one is refused', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => delay()));
    await send(url(), 'POST', '/commands/claim', { agentId: 'X', limit: 20 });
    // Those that come while the first one's statement is in flight share the next one.
    const sent = ids.flatMap((id) =>
      [1, 2].map((tookMs) => ({ id, result: { ok: true, tookMs } })),
    );
    const answers = await Promise.all(
      sent.map(({ id, result }) => simpleClient(url, 'X').report(id, { attempt: 1, result })),
    );
    const taken = sent.filter((_, i) => answers[i]?.status === 200);
    expect(taken.map(({ id }) => id).sort()).toEqual(ids.toSorted());
    for (const { id, result } of taken) expect(await row(database(), id)).toMatchObject({ result });
  });
});

test('a result that is refused in words of any language fails its attempt all the same', async () => {
  // What the schema says is cut, in the middle of a character.
  const pattern = `^${'🦆'.repeat(2_000)}$`;
  for (const shift of ['', 'x']) {
    const contracts = [
      {
        type: 'DUCKS',
        // As long as an executor's may be.
        description: 'x'.repeat(10_000),
        payloadSchema: {},
        resultSchema: { type: 'string', pattern: shift + pattern },
      },
    ];
    const agent = await sessionClient(url, { types: ['DUCKS'], contracts });
    const id = await submit(url(), 'DUCKS', {});
    await agent.claim();
    const reports = [{ id, attempt: 1, outcome: 'completed', result: 'none' }];
    expect((await agent.say('results', { reports })).body).toEqual({ answers: ['accepted'] });
    expect(await row(database(), id)).toMatchObject({ error: { code: 'invalid_result' } });
  }
});
