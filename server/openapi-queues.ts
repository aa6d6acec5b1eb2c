// The operations about queues and about command types, described.

import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { NAME, TYPE_NAME } from '../db/names.ts';
import {
  anyRequest,
  bodyless,
  ifNoneMatch,
  json,
  notModified,
  problems,
} from './openapi-answers.ts';
import { commandType, queue } from './openapi-schemas.ts';

const header = z.object(anyRequest);
const known = header.extend({ 'If-None-Match': ifNoneMatch });

const name = z
  .string()
  .regex(NAME)
  .meta({
    param: { id: 'QueueName' },
    description: 'The name of a queue: 1 to 64 of `A-Z a-z 0-9 . _ -`.',
    example: 'default',
  });
const type = z
  .string()
  .regex(TYPE_NAME)
  .meta({
    param: { id: 'TypeName' },
    description: 'The name of a command type.',
    example: 'DELAY',
  });
const one = { path: z.object({ name }), header };

export const queuePaths: ZodOpenApiPathsObject = {
  '/queues': {
    get: {
      operationId: 'listQueues',
      tags: ['Queues'],
      summary: 'List queues',
      description: 'All of them, by name, with what waits and what runs.',
      requestParams: { header },
      responses: { 200: json('The queues.', z.array(queue)), ...problems() },
    },
  },
  '/queues/{name}': {
    get: {
      operationId: 'getQueue',
      tags: ['Queues'],
      summary: 'Look at one queue',
      requestParams: one,
      responses: { 200: json('The queue.', queue), ...problems(404) },
    },
    put: {
      operationId: 'createQueue',
      tags: ['Queues'],
      summary: 'Create a queue',
      description: 'Commands may name it, and agents claim from it, from then on.',
      requestParams: one,
      requestBody: bodyless,
      responses: {
        200: json('It was there already, and is as it was.', queue),
        201: json('It is new.', queue, ['Location']),
        ...problems(413, 415),
      },
    },
  },
  '/queues/{name}/pause': {
    post: {
      operationId: 'pauseQueue',
      tags: ['Queues'],
      summary: 'Pause a queue',
      description: 'Nothing of it is claimed until it is resumed. What runs goes on.',
      requestParams: one,
      requestBody: bodyless,
      responses: { 200: json('The queue.', queue), ...problems(404, 413, 415) },
    },
  },
  '/queues/{name}/resume': {
    post: {
      operationId: 'resumeQueue',
      tags: ['Queues'],
      summary: 'Resume a queue',
      requestParams: one,
      requestBody: bodyless,
      responses: { 200: json('The queue.', queue), ...problems(404, 413, 415) },
    },
  },
};

export const typePaths: ZodOpenApiPathsObject = {
  '/types': {
    get: {
      operationId: 'listTypes',
      tags: ['Command types'],
      summary: 'List command types',
      description: 'All that are published, by name.',
      requestParams: { header: known },
      responses: {
        200: json('The types.', z.array(commandType), ['ETag']),
        304: notModified,
        ...problems(),
      },
    },
  },
  '/types/{type}': {
    get: {
      operationId: 'getType',
      tags: ['Command types'],
      summary: 'Look at one command type',
      requestParams: { path: z.object({ type }), header: known },
      responses: {
        200: json('The type.', commandType, ['ETag']),
        304: notModified,
        ...problems(404),
      },
    },
  },
};
