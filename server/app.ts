// The server as a Koa application; a request passes from top to bottom.

import cors from '@koa/cors';
import { Router } from '@koa/router';
import Koa from 'koa';
import type { Database } from '../db/connect.ts';
import type { Logger } from '../runtime/log.ts';
import { observe, type RequestState } from './observe.ts';
import { problems } from './problem.ts';
import { addAgentRoutes } from './routes/agents.ts';
import { addCommandRoutes } from './routes/commands.ts';
import { addHealthRoute } from './routes/health.ts';

export interface AppOptions {
  database: Database;
  log: Logger;
  /** The origins whose pages may call; `*` is any. */
  corsOrigins: string[];
}

export function createApp({ database, log, corsOrigins }: AppOptions): Koa<RequestState> {
  const router = new Router<RequestState>();
  addHealthRoute(router, database);
  addCommandRoutes(router, database, log);
  addAgentRoutes(router, database);

  const app = new Koa<RequestState>();
  app.on('error', (error: Error & { headerSent?: boolean }) => {
    // After the headers it's the client that left.
    log[error.headerSent ? 'debug' : 'error']({ err: error }, 'an answer could not be sent');
  });
  app.use(observe(log));
  app.use(openTo(corsOrigins));
  app.use(problems(log));
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}

function openTo(origins: string[]): Koa.Middleware {
  const allowed = new Set(origins);
  return cors({
    origin: (ctx) => {
      if (allowed.has('*')) return '*';
      const origin = ctx.get('Origin');
      return allowed.has(origin) ? origin : '';
    },
    exposeHeaders: ['Location', 'Link', 'X-Request-Id'],
    maxAge: 600,
  });
}
