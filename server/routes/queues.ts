// Queues over REST: how each of them is, creating one, pausing and resuming it.

import type { Router, RouterContext } from '@koa/router';
import type { Database } from '../../db/connect.ts';
import { EXPECTED_NAME, NAME } from '../../db/names.ts';
import {
  createQueue,
  findQueue,
  listQueues,
  pauseQueue,
  type QueueStatus,
  resumeQueue,
} from '../../db/queue-states.ts';
import type { RequestState } from '../observe.ts';
import { Problem } from '../problem.ts';
import { assertNoQuery } from '../query.ts';
import { assertNoBody } from '../steering-body.ts';
import { surely } from '../surely.ts';

type Context = RouterContext<RequestState>;

/** `GET /queues`, `GET /queues/:name`, `PUT /queues/:name`, `POST …/pause`, `POST …/resume`. */
export function addQueueRoutes(router: Router<RequestState>, { pool, kysely }: Database): void {
  router.get('/queues', async (ctx) => {
    assertNoQuery(ctx);
    ctx.body = await listQueues(kysely);
  });

  router.get('/queues/:name', async (ctx) => {
    assertNoQuery(ctx);
    ctx.body = await find(readName(ctx));
  });

  router.put('/queues/:name', async (ctx) => {
    const name = ctx.params['name'] ?? '';
    if (!NAME.test(name)) throw invalidName();
    assertNoQuery(ctx);
    await assertNoBody(ctx);
    const isNew = await surely(() => createQueue(pool, name));
    ctx.body = await find(name);
    ctx.status = isNew ? 201 : 200;
    if (isNew) ctx.set('Location', ctx.path.endsWith('/') ? `../${name}` : name);
  });

  const change = (verb: string, act: typeof pauseQueue) =>
    router.post(`/queues/:name/${verb}`, async (ctx) => {
      const name = readName(ctx);
      assertNoQuery(ctx);
      await assertNoBody(ctx);
      if (!(await surely(() => act(pool, name)))) throw unknownQueue();
      ctx.body = await find(name);
    });
  change('pause', pauseQueue);
  change('resume', resumeQueue);

  async function find(name: string): Promise<QueueStatus> {
    const queue = await findQueue(kysely, name);
    if (!queue) throw unknownQueue();
    return queue;
  }
}

/** @throws Problem 404: what is no name is no queue either. */
function readName(ctx: Context): string {
  const name = ctx.params['name'] ?? '';
  if (!NAME.test(name)) throw unknownQueue();
  return name;
}

function unknownQueue(): Problem {
  return refuse(404, 'unknown_queue', 'There is no queue with this name.');
}

function invalidName(): Problem {
  return refuse(400, 'invalid_name', 'This is no name for a queue.', EXPECTED_NAME);
}

function refuse(status: number, code: string, message: string, detail = message): Problem {
  return new Problem(status, code, message, { errors: [{ pointer: '#/path/name', detail }] });
}
