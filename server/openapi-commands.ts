// The operations that submit commands and look at them, described.

import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import type { CommandOptions } from '../db/commands.ts';
import { listQuery } from './list-query.ts';
import { MAX_COMMANDS } from './new-batch.ts';
import { envelope } from './new-command.ts';
import {
  anyRequest,
  commandIdInPath,
  idempotencyKey,
  ifNoneMatch,
  json,
  notModified,
  prefer,
  problems,
  severalStatuses,
} from './openapi-answers.ts';
import { command, commandWithAttempts } from './openapi-schemas.ts';
import { LONGEST_SECONDS, waitQuery } from './wait.ts';

const header = z.object(anyRequest);
const id = z.guid();

const OPTIONS: Record<keyof CommandOptions, string> = {
  maxAttempts: 'After so many failures it is FAILED. 3 unless said.',
  backoff:
    'The pause before a retry: a random part of initialMs × factor ^ failures before, at most maxMs. ' +
    '1,000, 2 and 3,600,000 unless said.',
  delivery: 'What follows an attempt whose end nobody knows: another attempt, or FAILED.',
  timeoutMs: 'How long one attempt may take; its type says unless this does.',
  runAt: 'Not before this time.',
  delayMs: 'Not for so long; instead of runAt.',
  priority: 'The higher is executed first. 0 unless said.',
  queue: 'Where agents find it. `default` unless said.',
  target: 'The only agent that may execute it.',
  tags: 'Words to find it by, of at most 2,000 bytes in all.',
  metadata: 'Whatever is to be kept with it, of at most 16,384 bytes of JSON.',
  concurrencyKey: 'At most one command of a key runs at a time, in order. At most 255 bytes.',
  idempotencyKey: 'The same submission with the same key within 24 h is one. At most 255 bytes.',
};

/** With one variant for each command type; see openapi-types.ts. */
const newCommand = z
  .strictObject(
    Object.fromEntries(
      Object.entries(envelope.shape).map(([name, schema]) => {
        const description = OPTIONS[name as keyof CommandOptions];
        return [name, description ? schema.meta({ description }) : schema];
      }),
    ),
  )
  .meta({
    id: 'NewCommand',
    dependentSchemas: { runAt: { properties: { delayMs: false } } },
  });

const batch = z.strictObject({ commands: z.array(newCommand).min(1).max(MAX_COMMANDS) });

const query = severalStatuses(listQuery).extend({
  cursor: listQuery.shape.cursor.meta({ description: 'From the `Link` of the page before.' }),
});

const waiting = waitQuery.extend({
  wait: waitQuery.shape.wait.meta({
    override: { type: 'integer', minimum: 0, maximum: LONGEST_SECONDS },
    description: 'How many seconds to wait for it to finish.',
  }),
});

const submitted = z.object({ commandId: id });
const batched = z.object({
  batchId: id.nullable().describe('null: they were submitted apart.'),
  commandIds: z.array(id).describe('In the order in which they were given.'),
});

export const commandPaths: ZodOpenApiPathsObject = {
  '/commands': {
    post: {
      operationId: 'submitCommand',
      tags: ['Commands'],
      summary: 'Submit a command',
      description: 'Once this is answered, the command is never lost.',
      requestParams: { header: header.extend({ 'Idempotency-Key': idempotencyKey }) },
      requestBody: { required: true, content: { 'application/json': { schema: newCommand } } },
      responses: {
        200: json('It was submitted under this key before.', submitted, [
          'Location',
          'Idempotency-Replayed',
        ]),
        201: json('It is submitted.', submitted, ['Location']),
        ...problems(409, 413, 415, 422),
      },
    },
    get: {
      operationId: 'listCommands',
      tags: ['Commands'],
      summary: 'List commands',
      requestParams: { query, header },
      responses: { 200: json('A page of commands.', z.array(command), ['Link']), ...problems() },
    },
  },
  '/commands/batch': {
    post: {
      operationId: 'submitCommands',
      tags: ['Commands'],
      summary: 'Submit many commands',
      description: 'All of them or none, in one transaction.',
      requestParams: { header },
      requestBody: { required: true, content: { 'application/json': { schema: batch } } },
      responses: {
        200: json('All were submitted under their keys before.', batched, ['Idempotency-Replayed']),
        201: json('They are submitted.', batched),
        ...problems(409, 413, 415, 422),
      },
    },
  },
  '/commands/{id}': {
    get: {
      operationId: 'getCommand',
      tags: ['Commands'],
      summary: 'Look at one command',
      description:
        'With `wait`, the answer is held until the command has finished or the time is up.',
      requestParams: {
        path: z.object({ id: commandIdInPath }),
        query: waiting,
        header: header.extend({ Prefer: prefer, 'If-None-Match': ifNoneMatch }),
      },
      responses: {
        200: json('The command as it is.', commandWithAttempts, ['ETag']),
        304: notModified,
        ...problems(404),
      },
    },
  },
};
