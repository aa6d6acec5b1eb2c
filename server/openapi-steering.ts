// The operations that steer commands, described.

import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { CANCEL_ANSWERS, RETRY_ANSWERS } from '../db/steering.ts';
import { anyRequest, bodyless, commandIdInPath, json, problems } from './openapi-answers.ts';
import { commandWithAttempts } from './openapi-schemas.ts';
import { targets } from './steering-body.ts';

const header = z.object(anyRequest);
const one = { path: z.object({ id: commandIdInPath }), header };
const count = z.int().min(0);
const id = z.guid();

const more = z
  .boolean()
  .optional()
  .describe('For a filter: there may be more than one request changes; send it again.');

const cancelled = z
  .object({
    cancelled: count.describe('Waited, and are CANCELLED now.'),
    requested: count.describe('Run, and will be CANCELLED unless they complete first.'),
    done: count.describe('Had ended before.'),
    unknown: count,
    results: z
      .array(z.object({ id, answer: z.enum(CANCEL_ANSWERS) }))
      .optional()
      .describe('For ids: what became of each.'),
    more,
  })
  .meta({ id: 'CancelledMany' });

const retried = z
  .object({
    retried: count,
    notFailed: count.describe('Have not FAILED and were not CANCELLED.'),
    retriedBefore: count.describe('Left out: they were retried before.'),
    refused: count.describe('Cannot be submitted any more: their type is gone, say.'),
    unknown: count,
    results: z
      .array(
        z.object({
          id,
          answer: z.enum(RETRY_ANSWERS),
          commandId: id.optional().describe('The new command, or the one of an earlier retry.'),
        }),
      )
      .optional()
      .describe('For ids: what became of each.'),
    more,
  })
  .meta({ id: 'RetriedMany' });

const SOME_IDS = { ids: ['0198a0de-0000-7000-8000-000000000001'] };

export const steeringPaths: ZodOpenApiPathsObject = {
  '/commands/{id}/cancel': {
    post: {
      operationId: 'cancelCommand',
      tags: ['Steering'],
      summary: 'Cancel a command',
      description:
        'One that waits is CANCELLED at once. One that runs is asked to end: its agent is told, and it is ' +
        'CANCELLED unless it completes first.',
      requestParams: one,
      requestBody: bodyless,
      responses: {
        200: json('It waited, and is CANCELLED.', commandWithAttempts),
        202: json('It runs, and was asked to end.', commandWithAttempts),
        ...problems(404, 409, 413, 415),
      },
    },
  },
  '/commands/{id}/retry': {
    post: {
      operationId: 'retryCommand',
      tags: ['Steering'],
      summary: 'Retry a command',
      description:
        'Submits one that FAILED or was CANCELLED again, as a new command with the same payload and ' +
        'options: what is done never changes.',
      requestParams: one,
      requestBody: bodyless,
      responses: {
        201: json('The new command.', z.object({ commandId: id, retryOf: id }), ['Location']),
        ...problems(404, 409, 413, 415),
      },
    },
  },
  '/commands/cancel': {
    post: {
      operationId: 'cancelCommands',
      tags: ['Steering'],
      summary: 'Cancel many commands',
      description:
        'Those with these ids, in one transaction; or those that match a filter, newest first, in one for ' +
        'each 1,000. A request takes on at most 100,000, or as many as it gets to in 20 s.',
      requestParams: { header },
      requestBody: {
        required: true,
        content: {
          'application/json': {
            schema: targets.cancel,
            examples: {
              filter: { value: { filter: { status: 'SCHEDULED', tag: 'nightly' } } },
              ids: { value: SOME_IDS },
            },
          },
        },
      },
      responses: { 200: json('How many.', cancelled), ...problems(413, 415) },
    },
  },
  '/commands/retry': {
    post: {
      operationId: 'retryCommands',
      tags: ['Steering'],
      summary: 'Retry many commands',
      description:
        'As for cancelling many. What was retried before is left out, so that a request can be repeated.',
      requestParams: { header },
      requestBody: {
        required: true,
        content: {
          'application/json': {
            schema: targets.retry,
            examples: {
              filter: { value: { filter: { status: 'FAILED', tag: 'nightly' } } },
              ids: { value: SOME_IDS },
            },
          },
        },
      },
      responses: { 200: json('How many.', retried), ...problems(413, 415) },
    },
  },
};
