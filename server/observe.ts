import { randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import type { Logger } from '../runtime/log.ts';

/** What every request carries through the middleware. */
export interface RequestState {
  requestId: string;
}

const REQUEST_ID = /^[\w.:-]{1,128}$/;

/** Gives each request an id, the client's own if it is a plain one, and each a line in the log. */
export function observe(log: Logger): Middleware<RequestState> {
  return async (ctx, next) => {
    const startedAt = performance.now();
    const given = ctx.get('X-Request-Id');
    const requestId = REQUEST_ID.test(given) ? given : randomUUID();
    ctx.state.requestId = requestId;
    ctx.res.setHeader('X-Request-Id', requestId);
    await next();
    if (!log.isLevelEnabled('debug')) return;
    const ms = Math.round((performance.now() - startedAt) * 10) / 10;
    const path = ctx.originalUrl.split('?', 1)[0];
    log.debug({ method: ctx.method, path, status: ctx.status, ms, requestId }, 'request');
  };
}
