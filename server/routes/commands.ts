// Commands over REST: submit, list, look at one.
//
// Submissions that arrive while a transaction is in flight share the next one. The id is drawn here,
// so a batch whose COMMIT got lost can be repeated without storing a command twice.

import type { Router } from '@koa/router';
import { v7 } from 'uuid';
import { z } from 'zod';
import { Batcher } from '../../db/batcher.ts';
import { readCommandTypes } from '../../db/command-types.ts';
import {
  findCommand,
  listCommands,
  type NewCommand,
  submitCommands,
  type Submitted,
} from '../../db/commands.ts';
import type { Database } from '../../db/connect.ts';
import type { Logger } from '../../runtime/log.ts';
import { readJson } from '../body.ts';
import { nextPageLink, parseListQuery } from '../list-query.ts';
import type { RequestState } from '../observe.ts';
import { parse } from '../parse.ts';
import { Payloads } from '../payloads.ts';
import { Problem } from '../problem.ts';

const MAX_BATCH_ITEMS = 200;

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

const submission = z.strictObject(
  {
    type: z.string('expected the name of a command type'),
    payload: z.record(z.string(), z.unknown(), 'expected an object'),
  },
  'expected an object with type and payload',
);
const WRONG_SUBMISSION = { at: [], code: 'invalid_command', detail: 'This is no command.' };

/** `POST /commands`, `GET /commands`, `GET /commands/:id`. */
export function addCommandRoutes(
  router: Router<RequestState>,
  { pool, kysely }: Database,
  log: Logger,
): void {
  const payloads = new Payloads(() => readCommandTypes(kysely), log);
  const submissions = new Batcher<NewCommand, Submitted>((batch) => submitCommands(pool, batch), {
    maxItems: MAX_BATCH_ITEMS,
  });

  router.post('/commands', async (ctx) => {
    const { type, payload } = parse(submission, await readJson(ctx), WRONG_SUBMISSION);
    await payloads.check(type, payload);
    const submitted = await submissions.add({ id: v7(), type, payload });
    if ('error' in submitted) throw submitted.error;
    ctx.status = 201;
    ctx.set('Location', ctx.path.endsWith('/') ? submitted.id : `commands/${submitted.id}`);
    ctx.body = { commandId: submitted.id };
  });

  router.get('/commands', async (ctx) => {
    const query = parseListQuery(ctx.querystring);
    const { commands, next } = await listCommands(kysely, query);
    if (next) ctx.set('Link', nextPageLink(query, next));
    ctx.body = commands;
  });

  router.get('/commands/:id', async (ctx) => {
    const id = ctx.params['id'] ?? '';
    const command = UUID.test(id) ? await findCommand(kysely, id) : undefined;
    if (!command) throw unknownCommand();
    ctx.body = command;
  });
}

function unknownCommand(): Problem {
  const detail = 'There is no command with this id.';
  const errors = [{ pointer: '#/path/id', detail }];
  return new Problem(404, 'unknown_command', detail, { errors });
}
