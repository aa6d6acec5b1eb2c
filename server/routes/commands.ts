// Commands over REST: submit, list, look at one.

import type { Router } from '@koa/router';
import type { ParameterizedContext } from 'koa';
import { z } from 'zod';
import { readCommandTypes } from '../../db/command-types.ts';
import { findCommand, listCommands } from '../../db/commands.ts';
import type { Database } from '../../db/connect.ts';
import type { Logger } from '../../runtime/log.ts';
import { readJson } from '../body.ts';
import { nextPageLink, parseListQuery } from '../list-query.ts';
import type { RequestState } from '../observe.ts';
import { parse } from '../parse.ts';
import { Payloads } from '../payloads.ts';
import { Problem } from '../problem.ts';
import { Submissions } from '../submissions.ts';

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

const envelope = z.strictObject(
  { type: z.string('expected the name of a command type'), payload: z.unknown().optional() },
  'expected an object with type and payload',
);
const WRONG_ENVELOPE = { at: [], code: 'invalid_command', detail: 'This is no command.' };

const anyPayload = z.record(z.string(), z.unknown(), 'expected an object');
const WRONG_PAYLOAD = { at: ['payload'], code: 'invalid_payload', detail: 'This is no payload.' };

/** `POST /commands`, `GET /commands`, `GET /commands/:id`. */
export function addCommandRoutes(
  router: Router<RequestState>,
  { pool, kysely }: Database,
  log: Logger,
): void {
  const payloads = new Payloads(() => readCommandTypes(kysely), log);
  const submissions = new Submissions(pool);

  router.post('/commands', async (ctx) => {
    const { type, payload } = await readSubmission(ctx);
    await payloads.check(type, payload);
    const id = await submissions.add({ type, payload }, ctx.request.length ?? Infinity);
    ctx.status = 201;
    ctx.set('Location', ctx.path.endsWith('/') ? id : `commands/${id}`);
    ctx.body = { commandId: id };
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

async function readSubmission(ctx: ParameterizedContext) {
  const { type, payload } = parse(envelope, await readJson(ctx), WRONG_ENVELOPE);
  return { type, payload: parse(anyPayload, payload, WRONG_PAYLOAD) };
}

function unknownCommand(): Problem {
  const detail = 'There is no command with this id.';
  const errors = [{ pointer: '#/path/id', detail }];
  return new Problem(404, 'unknown_command', detail, { errors });
}
