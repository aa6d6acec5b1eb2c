// Steering commands over REST: cancel and retry.

import type { Router } from '@koa/router';
import { findCommand } from '../../db/command-list.ts';
import type { Database } from '../../db/connect.ts';
import { CommandRefusedError } from '../../db/errors.ts';
import { assertCommandId, unknownCommand } from '../command-id.ts';
import { Gate } from '../gate.ts';
import { gone } from '../gone.ts';
import type { RequestState } from '../observe.ts';
import { Problem } from '../problem.ts';
import { assertNoQuery } from '../query.ts';
import { cancelMany, retryMany } from '../steering-many.ts';
import { assertNoBody, readTargets } from '../steering-body.ts';
import { cancelSurely, retrySurely } from '../steering.ts';

// Each page of many takes a connection, and those who steer one command need some too.
const MANY = { maxInside: 32, maxAtWork: 2 };

/** `POST /commands/:id/cancel` and `/retry`, `POST /commands/cancel` and `/retry`. */
export function addSteerRoutes(router: Router<RequestState>, database: Database): void {
  const { pool, kysely } = database;
  const gate = new Gate(MANY);

  router.post('/commands/:id/cancel', async (ctx) => {
    const id = assertCommandId(ctx.params['id']);
    assertNoQuery(ctx);
    await assertNoBody(ctx);
    const [answer] = await cancelSurely(pool, [id]);
    if (answer === 'done') throw conflict('already_done', 'The command has ended already.');
    const command = answer === 'unknown' ? undefined : await findCommand(kysely, id);
    if (!command) throw unknownCommand();
    ctx.status = answer === 'requested' ? 202 : 200;
    ctx.body = command;
  });

  router.post('/commands/:id/retry', async (ctx) => {
    const id = assertCommandId(ctx.params['id']);
    assertNoQuery(ctx);
    await assertNoBody(ctx);
    const [retried] = await retrySurely(pool, [id], { once: false });
    if (retried?.answer === 'not_failed')
      throw conflict('not_failed', 'The command has not FAILED and was not CANCELLED.');
    if (retried?.error) throw cannotRetry(retried.error);
    if (!retried?.newId) throw unknownCommand();
    ctx.status = 201;
    ctx.set('Location', `${ctx.path.endsWith('/') ? '../..' : '..'}/${retried.newId}`);
    ctx.body = { commandId: retried.newId, retryOf: id.toLowerCase() };
  });

  const steerMany = (verb: 'cancel' | 'retry', steer: typeof cancelMany | typeof retryMany) =>
    router.post(`/commands/${verb}`, async (ctx) => {
      assertNoQuery(ctx);
      ctx.body = await gate.enter(async () => {
        const targets = await readTargets(ctx, verb);
        return await steer(database, targets, { gate, gone: gone(ctx) });
      });
    });
  steerMany('cancel', cancelMany);
  steerMany('retry', retryMany);
}

function conflict(code: string, detail: string): Problem {
  return new Problem(409, code, detail, { errors: [{ pointer: '#/path/id', detail }] });
}

// What was fine when it was submitted may not be any more: its type is gone, say.
function cannotRetry(error: Error): Error {
  if (!(error instanceof CommandRefusedError)) return error;
  return conflict(error.code, `The command cannot be submitted again: ${error.message}.`);
}
