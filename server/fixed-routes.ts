// Finds the routes without parameters by method and path. The router would try the pattern of each of its
// routes for each request, and build a chain of middleware for it.

import type { Router, RouterContext } from '@koa/router';
import type { Middleware } from 'koa';
import type { RequestState } from './observe.ts';

/** To be used before the router, which does the rest: other paths, other methods. */
export function fixedRoutes(router: Router<RequestState>): Middleware<RequestState> {
  const routes = new Map<string, (typeof router.stack)[number]['stack'][number]>();
  for (const { methods, path, stack } of router.stack) {
    const [handler] = stack;
    if (typeof path !== 'string' || path.includes(':') || !handler || stack.length > 1) continue;
    for (const method of methods) routes.set(`${method} ${path}`, handler);
  }
  return (ctx, next) => {
    const handler = routes.get(`${ctx.req.method} ${ctx.path}`);
    return handler ? handler(ctx as RouterContext<RequestState>, next) : next();
  };
}
