// Looking at commands over REST: a list, one, what one logged.

import type { Router } from '@koa/router';
import { findCommand, listCommands, readLog } from '../../db/command-list.ts';
import type { Database } from '../../db/connect.ts';
import { assertCommandId, unknownCommand } from '../command-id.ts';
import { answerUnlessKnown } from '../etag.ts';
import type { Following } from '../following.ts';
import { nextLinesLink, nextPageLink, parseListQuery, parseLogQuery } from '../list-query.ts';
import type { RequestState } from '../observe.ts';
import { released } from '../gone.ts';
import { finished, readWait } from '../wait.ts';

/** `GET /commands`, `GET /commands/:id`, `GET /commands/:id/logs`. */
export function addCommandRoutes(
  router: Router<RequestState>,
  { kysely }: Database,
  following: Following,
): void {
  router.get('/commands', async (ctx) => {
    const query = parseListQuery(ctx.querystring);
    const { commands, next } = await listCommands(kysely, query);
    if (next) ctx.set('Link', nextPageLink(query, next));
    ctx.body = commands.map(({ command }) => command);
  });

  router.get('/commands/:id', async (ctx) => {
    const id = assertCommandId(ctx.params['id']).toLowerCase();
    const seconds = readWait(ctx);
    if (seconds) {
      const signal = released(ctx, following);
      await finished(following.commands, id, { ms: seconds * 1_000, signal });
    }
    const command = await findCommand(kysely, id);
    if (!command) throw unknownCommand();
    answerUnlessKnown(ctx, command);
  });

  router.get('/commands/:id/logs', async (ctx) => {
    const id = assertCommandId(ctx.params['id']);
    const { limit, after } = parseLogQuery(ctx.querystring);
    const lines = await readLog(kysely, id, { limit: limit + 1, ...(after && { after }) });
    if (!lines) throw unknownCommand();
    const page = lines.slice(0, limit);
    const last = page.at(-1);
    if (last && lines.length > limit) ctx.set('Link', nextLinesLink(limit, last));
    ctx.body = page;
  });
}
