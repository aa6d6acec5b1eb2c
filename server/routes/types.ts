// Command types over REST: what there is to submit, and what each takes and answers.

import type { Router } from '@koa/router';
import { findCommandType, readCommandTypes } from '../../db/command-types.ts';
import type { Database } from '../../db/connect.ts';
import { TYPE_NAME } from '../../db/names.ts';
import { answerUnlessKnown } from '../etag.ts';
import type { RequestState } from '../observe.ts';
import { Problem } from '../problem.ts';
import { assertNoQuery } from '../query.ts';

/** `GET /types`, `GET /types/:type`. */
export function addTypeRoutes(router: Router<RequestState>, { kysely }: Database): void {
  router.get('/types', async (ctx) => {
    assertNoQuery(ctx);
    answerUnlessKnown(ctx, await readCommandTypes(kysely));
  });

  router.get('/types/:type', async (ctx) => {
    assertNoQuery(ctx);
    const name = ctx.params['type'] ?? '';
    const type = TYPE_NAME.test(name) ? await findCommandType(kysely, name) : undefined;
    if (!type) throw unknownType();
    answerUnlessKnown(ctx, type);
  });
}

function unknownType(): Problem {
  const detail = 'There is no command type of this name.';
  const errors = [{ pointer: '#/path/type', detail }];
  return new Problem(404, 'unknown_type', detail, { errors });
}
