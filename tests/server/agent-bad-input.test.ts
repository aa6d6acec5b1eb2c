// Bad input to the routes of agents: each is refused, with a pointer to what is wrong.

import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { useAgentsApi } from '../support/agents-api.ts';
import { send, sessionClient } from '../support/client.ts';

const { url, delay, query } = useAgentsApi();

test.each([
  ['agentId=a%27b', '#/query/agentId'],
  ['agentId=%00', '#/query/agentId'],
  [`agentId=${'x'.repeat(65)}`, '#/query/agentId'],
  ['agentId=a&queues=', '#/query/queues/0'],
  ['agentId=a&queues=a,a', '#/query/queues/1'],
  ['agentId=a&types=A%00', '#/query/types/0'],
  [`agentId=a&types=${'x'.repeat(65)}`, '#/query/types/0'],
  ['agentId=a&wait=-1', '#/query/wait'],
  ['agentId=a&wait=61', '#/query/wait'],
  ['agentId=a&wait=1e1', '#/query/wait'],
  ['agentId=a&session=x', '#/query/session'],
  ['agentId=a&colour=red', '#/query/colour'],
  ['agentId=a&agentId=b', '#/query/agentId'],
])('GET /commands/next?%s is refused', async (querystring, pointer) => {
  const { status, body } = await send(url(), 'GET', `/commands/next?${querystring}`);
  expect(status).toBe(400);
  expect(body).toMatchObject({ errors: [{ pointer }] });
  expect(await query('select from executor.agents')).toEqual([]);
});

const ONE = { id: '0198a0de-0000-7000-8000-000000000001', attempt: 1 };
const FAILED = { ...ONE, outcome: 'failed', error: { message: 'no' } };
const IN_CAPITALS = { ...ONE, id: ONE.id.toUpperCase() };
const SQUARE = { type: 'SQUARE', payloadSchema: {} };
const many = (count: number, one: object) => Array.from({ length: count }, () => one);
const lines = (...all: object[]) => ({ reports: [{ ...ONE, lines: all }] });

test.each<[string, string, object, string]>([
  ['claimNo 2^53', '/commands/claim', { agentId: 'A', claimNo: 2 ** 53 }, '#/claimNo'],
  ['claimNo -1', '/commands/claim', { agentId: 'A', claimNo: -1 }, '#/claimNo'],
  ['claimNo 1.5', '/commands/claim', { agentId: 'A', claimNo: 1.5 }, '#/claimNo'],
  ['claimNo as text', '/commands/claim', { agentId: 'A', claimNo: '1' }, '#/claimNo'],
  ['an id of an agent in other letters', '/commands/claim', { agentId: 'é' }, '#/agentId'],
  ['limit 0', '/commands/claim', { agentId: 'A', limit: 0 }, '#/limit'],
  ['limit 1001', '/commands/claim', { agentId: 'A', limit: 1_001 }, '#/limit'],
  ['wait 61', '/commands/claim', { agentId: 'A', wait: 61 }, '#/wait'],
  ['no types', '/commands/claim', { agentId: 'A', types: [] }, '#/types'],
  ['a type repeated', '/agents', { contracts: [SQUARE, SQUARE] }, '#/contracts/1/type'],
  ['101 contracts', '/agents', { contracts: many(101, SQUARE) }, '#/contracts'],
  ['settledClaimNo 2^53', 'beat', { running: [], settledClaimNo: 2 ** 53 }, '#/settledClaimNo'],
  ['no running', 'beat', {}, '#/running'],
  ['10,001 running', 'beat', { running: many(10_001, ONE) }, '#/running'],
  ['attempt 0', 'beat', { running: [{ ...ONE, attempt: 0 }] }, '#/running/0/attempt'],
  ['attempt 2^31', 'release', { claims: [{ ...ONE, attempt: 2 ** 31 }] }, '#/claims/0/attempt'],
  ['no claims', 'release', { claims: [] }, '#/claims'],
  ['started in words', 'release', { claims: [{ ...ONE, started: 'no' }] }, '#/claims/0/started'],
  ['an id that is none', 'release', { claims: [{ ...ONE, id: "'" }] }, '#/claims/0/id'],
  ['an attempt twice', 'results', { reports: [FAILED, FAILED] }, '#/reports/1'],
  ['one twice in capitals', 'progress', { reports: [ONE, IN_CAPITALS] }, '#/reports/1'],
  ['no outcome', 'results', { reports: [ONE] }, '#/reports/0/outcome'],
  [
    'failed without error',
    'results',
    { reports: [{ ...FAILED, error: null }] },
    '#/reports/0/error',
  ],
  ['line 0', 'progress', lines({ no: 0, line: 'x' }), '#/reports/0/lines/0/no'],
  [
    'a long line',
    'progress',
    lines({ no: 1, line: 'x'.repeat(2_001) }),
    '#/reports/0/lines/0/line',
  ],
  ['progress 1.1', 'progress', { reports: [{ ...ONE, progress: 1.1 }] }, '#/reports/0/progress'],
])('%s is refused at %s', async (_, where, body, pointer) => {
  const isSaid = !where.startsWith('/');
  const path = isSaid ? `/agents/said/${where}` : where;
  const whole = isSaid ? { session: randomUUID(), ...body } : body;
  const answer = await send(url(), 'POST', path, whole);
  expect(answer.status).toBe(400);
  const detail = expect.stringMatching(/^expected |^unknown$/);
  expect(answer.body['errors']).toEqual([{ pointer, detail }]);
  expect(await query('select from executor.agents')).toEqual([]);
});

test('lines and messages may have as many characters as the ledger keeps, of any kind', async () => {
  const agent = await sessionClient(url);
  const id = await delay();
  await agent.claim();
  const [line, message] = ['🦆'.repeat(2_000), '🦆'.repeat(500)];
  const reports = [{ id, attempt: 1, message, lines: [{ no: 1, line }] }];
  expect((await agent.say('progress', { reports })).body).toEqual({ answers: ['accepted'] });
  expect(await query('select line from executor.command_logs')).toEqual([{ line }]);
});
