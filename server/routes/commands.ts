// Commands over REST: submit, list, look at one.

import type { Router } from '@koa/router';
import { readCommandTypes } from '../../db/command-types.ts';
import { findCommand, listCommands } from '../../db/commands.ts';
import type { Database } from '../../db/connect.ts';
import type { Logger } from '../../runtime/log.ts';
import { nextPageLink, parseListQuery } from '../list-query.ts';
import { readNewCommand } from '../new-command.ts';
import type { RequestState } from '../observe.ts';
import { Payloads } from '../payloads.ts';
import { Problem } from '../problem.ts';
import { Submissions } from '../submissions.ts';

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** `POST /commands`, `GET /commands`, `GET /commands/:id`. */
export function addCommandRoutes(
  router: Router<RequestState>,
  { pool, kysely }: Database,
  log: Logger,
): void {
  const payloads = new Payloads(() => readCommandTypes(kysely), log);
  const submissions = new Submissions(pool);

  router.post('/commands', async (ctx) => {
    const command = await readNewCommand(ctx);
    await payloads.check(command.type, command.payload);
    const id = await submissions.add(command, ctx.request.length ?? Infinity);
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

function unknownCommand(): Problem {
  const detail = 'There is no command with this id.';
  const errors = [{ pointer: '#/path/id', detail }];
  return new Problem(404, 'unknown_command', detail, { errors });
}
