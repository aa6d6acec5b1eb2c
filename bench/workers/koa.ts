// A Koa server whose only route parses what it gets and answers as POST /commands does: what is left of a
// submission when nothing is checked and nothing is kept.

import Koa from 'koa';
import { getRawBody } from 'raw-body';
import { drawId } from '../../server/draw-id.ts';

const app = new Koa();
app.use(async (ctx) => {
  const body = JSON.parse((await getRawBody(ctx.req)).toString()) as { commands?: unknown[] };
  ctx.status = 201;
  ctx.body = body.commands
    ? { batchId: drawId(), commandIds: body.commands.map(() => drawId()) }
    : { commandId: drawId() };
});
const server = app.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address && typeof address === 'object')
    process.send?.({ ready: `http://127.0.0.1:${address.port}` });
});
process.on('disconnect', () => process.exit(0));
