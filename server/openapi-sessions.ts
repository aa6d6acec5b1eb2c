// The operations of agents that come over HTTP, described. For people: docs/agents-over-http.md.

import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import {
  beatBody,
  claimBody,
  nextQuery,
  progressBody,
  registration,
  releaseBody,
  resultBody,
  resultsBody,
  signOffBody,
} from './agent-requests.ts';
import { agentIdInPath, anyRequest, commandIdInPath, json, problems } from './openapi-answers.ts';
import { command } from './openapi-schemas.ts';

const header = z.object(anyRequest);
const one = { path: z.object({ id: agentIdInPath }), header };
const ids = z.array(z.guid());
const SESSION = '0198a0de-0000-4000-8000-000000000001';
const RUNNING = [{ id: '0198a0de-0000-7000-8000-000000000001', attempt: 1 }];

const answers = (words: readonly string[]) =>
  json('What became of each, in order.', z.object({ answers: z.array(z.enum(words)) }));

const OF_REPORTS = ['accepted', 'stale', 'unknown'] as const;
const OF_PROGRESS = ['accepted', 'stale', 'busy'] as const;

function body(schema: z.ZodType, example: object) {
  return { required: true, content: { 'application/json': { schema, example } } };
}

const claimed = json('The commands, RUNNING now; none when none came in time.', z.array(command));

export const sessionPaths = {
  '/commands/next': {
    get: {
      operationId: 'claimNext',
      tags: ['Agents over HTTP'],
      summary: 'Claim one command, or wait for one',
      description:
        'For agents. Without a session it is a simple client: one that asks while it owns a command has ' +
        'restarted, and gets that one again. Without `types` it gets `DELAY` and `HTTP_GET_JSON` only.',
      requestParams: { query: nextQuery, header },
      responses: {
        200: json('The command: RUNNING, and the agent’s.', command),
        204: { description: 'There is none.' },
        ...problems(404, 409),
      },
    },
  },
  '/commands/claim': {
    post: {
      operationId: 'claimCommands',
      tags: ['Agents over HTTP'],
      summary: 'Claim several commands, or wait for some',
      description: 'The same for up to `limit`. A session numbers its claims: see its beats.',
      requestParams: { header },
      requestBody: body(claimBody, { agentId: 'my-agent', limit: 5 }),
      responses: { 200: claimed, ...problems(404, 409, 413, 415) },
    },
  },
  '/commands/{id}/result': {
    put: {
      operationId: 'reportResult',
      tags: ['Agents over HTTP'],
      summary: 'Report what an attempt came to',
      description:
        'Either a result, or an error, with which the attempt failed. A result that the schema of its type ' +
        'refuses fails the attempt too (422).',
      requestParams: { path: z.object({ id: commandIdInPath }), header },
      requestBody: body(resultBody, { agentId: 'my-agent', attempt: 1, result: { ok: true } }),
      responses: {
        200: json('It counts.', z.object({ success: z.literal(true) })),
        ...problems(404, 409, 413, 415, 422),
      },
    },
  },
  '/agents': {
    post: {
      operationId: 'registerAgent',
      tags: ['Agents over HTTP'],
      summary: 'Register an agent’s session',
      description:
        'It becomes the agent’s one live session: an older one is superseded, and what that ran is offered ' +
        'again. It claims from the queue `default`, and `DELAY` and `HTTP_GET_JSON` only, unless it says ' +
        'otherwise. Its own types come with their contracts.',
      requestParams: { header },
      requestBody: body(registration, { agentId: 'my-agent', concurrency: 5 }),
      responses: {
        201: json(
          'It is registered.',
          z.object({
            agentId: z.string(),
            session: z.guid(),
            intervalMs: z.int().describe('How often to beat while it runs something.'),
            lostAfterMs: z.int().describe('After so long a silence it is lost.'),
            takenBack: z.int().describe('How many commands its older session had to give back.'),
          }),
          ['Location'],
        ),
        ...problems(409, 413, 415),
      },
    },
  },
  '/agents/{id}/beat': {
    post: {
      operationId: 'beat',
      tags: ['Agents over HTTP'],
      summary: 'Give a sign of life',
      description:
        'With what it runs. What it claimed under a number up to `settledClaimNo` and does not run goes ' +
        'back. With `wait` the answer is held until somebody asks to cancel what it runs.',
      requestParams: one,
      requestBody: body(beatBody, { session: SESSION, running: RUNNING, settledClaimNo: 1 }),
      responses: {
        200: json(
          'It lives.',
          z.object({
            revoked: ids.describe('No longer its own: to be ended.'),
            cancelled: ids.describe('To be ended, and reported as cancelled.'),
            ready: z.boolean().describe('Work waits for it.'),
            drain: z.boolean().describe('Somebody asked it to claim no more.'),
            intervalMs: z.int().describe('When to beat next.'),
          }),
        ),
        ...problems(404, 409, 413, 415),
      },
    },
  },
  '/agents/{id}/results': {
    post: {
      operationId: 'reportResults',
      tags: ['Agents over HTTP'],
      summary: 'Report what many attempts came to',
      description:
        'Each attempt once. All or nothing, where the answer is no 200. A repeat changes nothing.',
      requestParams: one,
      requestBody: body(resultsBody, {
        session: SESSION,
        reports: [{ ...RUNNING[0], outcome: 'completed', result: { ok: true } }],
      }),
      responses: { 200: answers(OF_REPORTS), ...problems(404, 413, 415, 422) },
    },
  },
  '/agents/{id}/progress': {
    post: {
      operationId: 'reportProgress',
      tags: ['Agents over HTTP'],
      summary: 'Say how far attempts are',
      description: 'Each attempt once. What is `busy` was not taken in: say it again.',
      requestParams: one,
      requestBody: body(progressBody, {
        session: SESSION,
        reports: [{ ...RUNNING[0], progress: 0.5, lines: [{ no: 1, line: 'half of it' }] }],
      }),
      responses: { 200: answers(OF_PROGRESS), ...problems(404, 413, 415) },
    },
  },
  '/agents/{id}/release': {
    post: {
      operationId: 'releaseCommands',
      tags: ['Agents over HTTP'],
      summary: 'Give commands back untouched',
      requestParams: one,
      requestBody: body(releaseBody, { session: SESSION, claims: RUNNING }),
      responses: { 200: answers(OF_REPORTS), ...problems(404, 413, 415) },
    },
  },
  '/agents/{id}/sign-off': {
    post: {
      operationId: 'signOff',
      tags: ['Agents over HTTP'],
      summary: 'Say goodbye',
      description: 'What it still runs goes back.',
      requestParams: one,
      requestBody: body(signOffBody, { session: SESSION }),
      responses: { 204: { description: 'It has gone.' }, ...problems(404, 413, 415) },
    },
  },
} satisfies ZodOpenApiPathsObject;
