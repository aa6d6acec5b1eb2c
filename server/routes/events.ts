// Following commands over REST: Server-Sent Events. The state comes first, then every change, so that
// after any reconnect a reader has what the ledger has.
//
//   GET /commands/:id/events   `command` with the command, as often as it changes; ends once it has
//                              finished. A browser then asks once more, with the Last-Event-ID of the
//                              final state, and 204 tells it to stop.
//   GET /events?…              `snapshot` with the list, then `command` for each change of one that
//                              matches and `removed` for one that does no longer: see list-feed.ts.

import type { Router, RouterContext } from '@koa/router';
import { type CommandVersion, isFinished } from '../../db/command-json.ts';
import { assertCommandId, unknownCommand } from '../command-id.ts';
import { type EventStream, stopping } from '../event-streams.ts';
import type { Following } from '../following.ts';
import { commandEvent } from '../list-feed.ts';
import { parseEventsQuery } from '../list-query.ts';
import type { RequestState } from '../observe.ts';
import { assertNoQuery } from '../query.ts';

type Context = RouterContext<RequestState>;

/** `GET /commands/:id/events`, `GET /events`. */
export function addEventRoutes(router: Router<RequestState>, following: Following): void {
  router.get('/commands/:id/events', async (ctx) => {
    const id = assertCommandId(ctx.params['id']).toLowerCase();
    assertNoQuery(ctx);
    await stream(ctx, following, (reader) => tellCommand(ctx, following, id, reader));
  });

  router.get('/events', async (ctx) => {
    const query = parseEventsQuery(ctx.querystring);
    await stream(ctx, following, (reader) => following.lists.join(query, reader));
  });
}

/** Resolves once the reader has something; what fails until then is answered like any request. */
async function stream(
  ctx: Context,
  { streams }: Following,
  begin: (reader: EventStream) => Promise<void>,
): Promise<void> {
  const reader = streams.open(ctx);
  try {
    await begin(reader);
  } catch (error) {
    reader.close();
    throw error;
  }
  if (reader.hasBegun || ctx.status === 204) return;
  // It has gone, or is let go of, before it had anything.
  if (!ctx.res.destroyed) throw stopping();
  ctx.respond = false;
}

async function tellCommand(
  ctx: Context,
  { commands }: Following,
  id: string,
  reader: EventStream,
): Promise<void> {
  let told: string | undefined;
  const tell = (version: CommandVersion | undefined) => {
    if (version && version.version !== told) reader.send(commandEvent(version));
    told = version?.version;
    if (!version || isFinished(version.command)) reader.end();
  };
  const unfollow = commands.follow(id, (version) => told && tell(version));
  reader.closed.addEventListener('abort', unfollow);
  const version = await commands.read(id);
  if (!version) throw unknownCommand();
  if (isFinished(version.command) && ctx.get('Last-Event-ID') === version.version) {
    reader.close();
    ctx.status = 204;
  } else tell(version);
}
