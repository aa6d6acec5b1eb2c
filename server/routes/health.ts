import type { Router } from '@koa/router';
import type { Database } from '../../db/connect.ts';
import type { RequestState } from '../observe.ts';
import { databaseUnavailable } from '../problem.ts';

const PATIENCE_MS = 2_000;

/** `GET /health`: 200 only while the database answers. */
export function addHealthRoute(router: Router<RequestState>, database: Database): void {
  router.get('/health', async (ctx) => {
    await assertAnswering(database);
    ctx.body = { status: 'ok' };
  });
}

async function assertAnswering({ pool }: Database): Promise<void> {
  const { promise: patience, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer in ${PATIENCE_MS} ms`)), PATIENCE_MS);
  try {
    await Promise.race([pool.query('select 1'), patience]);
  } catch (error) {
    throw databaseUnavailable(error);
  } finally {
    clearTimeout(timer);
  }
}
