// The operations about agents and about the server itself, described.

import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { anyRequest, ifNoneMatch, json, notModified, problems } from './openapi-answers.ts';
import { agent, agentWithCommands } from './openapi-schemas.ts';
import { listQuery } from './routes/agents.ts';

const header = z.object(anyRequest);
const agentId = z
  .string()
  .regex(/^[\w.-]{1,64}$/)
  .meta({
    param: { id: 'AgentId' },
    description: 'The id of an agent.',
  });

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
      requestParams: { path: z.object({ id: agentId }), header },
      responses: { 200: json('The agent.', agentWithCommands), ...problems(404) },
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
