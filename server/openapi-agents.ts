// The operations about agents and about the server itself, described.

import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import {
  agentIdInPath,
  anyRequest,
  bodyless,
  ifNoneMatch,
  json,
  notModified,
  problems,
} from './openapi-answers.ts';
import { agent, agentWithCommands } from './openapi-schemas.ts';
import { listQuery } from './routes/agents.ts';

const header = z.object(anyRequest);
const one = { path: z.object({ id: agentIdInPath }), header };

export const agentPaths: ZodOpenApiPathsObject = {
  '/agents': {
    get: {
      operationId: 'listAgents',
      tags: ['Agents'],
      summary: 'List agents',
      description: 'All agents that the database knows, by id, 1,000 a page.',
      requestParams: { query: listQuery, header },
      responses: { 200: json('The agents.', z.array(agent), ['Link']), ...problems() },
    },
  },
  '/agents/{id}': {
    get: {
      operationId: 'getAgent',
      tags: ['Agents'],
      summary: 'Look at one agent',
      requestParams: one,
      responses: { 200: json('The agent.', agentWithCommands), ...problems(404) },
    },
  },
  '/agents/{id}/drain': {
    post: {
      operationId: 'drainAgent',
      tags: ['Agents'],
      summary: 'Let an agent claim no more',
      description:
        'That holds at once, and until it is resumed, even if it is started anew: it finishes what it runs.',
      requestParams: one,
      requestBody: bodyless,
      responses: { 200: json('The agent.', agentWithCommands), ...problems(404, 413, 415) },
    },
  },
  '/agents/{id}/resume': {
    post: {
      operationId: 'resumeAgent',
      tags: ['Agents'],
      summary: 'Let an agent claim again',
      requestParams: one,
      requestBody: bodyless,
      responses: { 200: json('The agent.', agentWithCommands), ...problems(404, 413, 415) },
    },
  },
};

export const serverPaths: ZodOpenApiPathsObject = {
  '/health': {
    get: {
      operationId: 'getHealth',
      tags: ['Server'],
      summary: 'Ask whether it works',
      description: 'It does while the database answers.',
      requestParams: { header },
      responses: { 200: json('It works.', z.object({ status: z.literal('ok') })), ...problems() },
    },
  },
  '/openapi.json': {
    get: {
      operationId: 'getDescription',
      tags: ['Server'],
      summary: 'Read this description',
      requestParams: { header: header.extend({ 'If-None-Match': ifNoneMatch }) },
      responses: {
        200: json('An OpenAPI document.', z.looseObject({}), ['ETag']),
        304: notModified,
        ...problems(),
      },
    },
  },
  '/docs': {
    get: {
      operationId: 'getPage',
      tags: ['Server'],
      summary: 'Read it as a page',
      requestParams: { header },
      responses: {
        200: { description: 'A page.', content: { 'text/html': { schema: z.string() } } },
        ...problems(),
      },
    },
  },
};
