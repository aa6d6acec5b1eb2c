import type { Router } from '@koa/router';
import type { Database } from '../../db/connect.ts';
import type { RequestState } from '../observe.ts';
import { databaseUnavailable } from '../problem.ts';
import { assertNoQuery } from '../query.ts';

const PATIENCE_MS = 2_000;

// pg closes a connection that does not answer by then; the race below covers waiting for one.
const PROBE = { text: 'select 1', query_timeout: PATIENCE_MS };

/** `GET /health`: 200 only while the database answers. */
export function addHealthRoute(router: Router<RequestState>, database: Database): void {
  router.get('/health', async (ctx) => {
    assertNoQuery(ctx);
    await assertAnswering(database);
    ctx.body = { status: 'ok' };
  });
}

async function assertAnswering({ pool }: Database): Promise<void> {
  const { promise: patience, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer in ${PATIENCE_MS} ms`)), PATIENCE_MS);
  try {
    await Promise.race([pool.query(PROBE), patience]);
  } catch (error) {
    throw databaseUnavailable(error);
  } finally {
    clearTimeout(timer);
  }
}
