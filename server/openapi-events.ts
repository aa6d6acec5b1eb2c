// The operations that follow commands, described.

import { z } from 'zod';
import type { ZodOpenApiPathsObject } from 'zod-openapi';
import { eventsQuery, logQuery } from './list-query.ts';
import {
  anyRequest,
  commandIdInPath,
  events,
  json,
  lastEventId,
  problems,
  severalStatuses,
} from './openapi-answers.ts';
import { logLine } from './openapi-schemas.ts';

const header = z.object(anyRequest);
const path = z.object({ id: commandIdInPath });
const resumable = header.extend({ 'Last-Event-ID': lastEventId });

const COMMAND_EVENT = 'event: command\nid: 1893400200000000-RUNNING\ndata: {"id":"0198a0de-…"}\n\n';
const SNAPSHOT_EVENT = 'event: snapshot\nid: 1893400200000000\ndata: [{"id":"0198a0de-…"}]\n\n';

export const eventPaths: ZodOpenApiPathsObject = {
  '/commands/{id}/logs': {
    get: {
      operationId: 'getLog',
      tags: ['Following'],
      summary: 'Read what it logged',
      requestParams: { path, query: logQuery, header },
      responses: {
        200: json('A page of lines, first to last.', z.array(logLine), ['Link']),
        ...problems(404),
      },
    },
  },
  '/commands/{id}/events': {
    get: {
      operationId: 'followCommand',
      tags: ['Following'],
      summary: 'Follow a command',
      description:
        'Server-Sent Events: `command` with the command as it is, and again as often as it changes. The ' +
        'stream ends once the command has finished; who then asks again with its last id gets 204, which ' +
        'tells an EventSource to stop.',
      requestParams: { path, header: resumable },
      responses: {
        200: events('The command, as often as it changes.', COMMAND_EVENT),
        204: { description: 'It has finished, and that is known.' },
        ...problems(404),
      },
    },
  },
  '/events': {
    get: {
      operationId: 'followCommands',
      tags: ['Following'],
      summary: 'Follow a list of commands',
      description:
        'Server-Sent Events: `snapshot` with the newest commands that match, then `command` with one that ' +
        'is new or has changed and matches, and `removed` with the `id` of one that matches no longer.',
      requestParams: { query: severalStatuses(eventsQuery), header: resumable },
      responses: { 200: events('The list, and what changes.', SNAPSHOT_EVENT), ...problems() },
    },
  },
};
