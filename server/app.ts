// The server as a Koa application; a request passes from top to bottom.

import cors from '@koa/cors';
import { Router } from '@koa/router';
import Koa from 'koa';
import type { Database } from '../db/connect.ts';
import type { Logger } from '../runtime/log.ts';
import type { Following } from './following.ts';
import { httpRules, secureHeaders } from './http-rules.ts';
import { observe, type RequestState } from './observe.ts';
import { fixedRoutes } from './fixed-routes.ts';
import { problems } from './problem.ts';
import type { AgentDesks } from './agent-desks.ts';
import { addAgentSessionRoutes } from './routes/agent-sessions.ts';
import { addAgentRoutes } from './routes/agents.ts';
import { addClaimRoutes } from './routes/claims.ts';
import { addCommandRoutes } from './routes/commands.ts';
import { addDocsRoutes } from './routes/docs.ts';
import { addEventRoutes } from './routes/events.ts';
import { addHealthRoute } from './routes/health.ts';
import { addQueueRoutes } from './routes/queues.ts';
import { addSteerRoutes } from './routes/steer.ts';
import { addSubmitRoutes } from './routes/submit.ts';
import { addTypeRoutes } from './routes/types.ts';

/** What pages of other origins may read of an answer. */
const EXPOSED = [
  'Location',
  'Link',
  'X-Request-Id',
  'Idempotency-Replayed',
  'Preference-Applied',
  'ETag',
  'Retry-After',
];

export interface AppOptions {
  database: Database;
  log: Logger;
  /** The origins whose pages may call; `*` is any. */
  corsOrigins: string[];
  following: Following;
  desks: AgentDesks;
}

export function createApp(options: AppOptions): Koa<RequestState> {
  const { database, log, corsOrigins, following, desks } = options;
  const router = new Router<RequestState>();
  addHealthRoute(router, database);
  addSubmitRoutes(router, database, log, following);
  addSteerRoutes(router, database);
  addEventRoutes(router, following);
  addClaimRoutes(router, desks);
  addCommandRoutes(router, database, following);
  addAgentRoutes(router, database);
  addAgentSessionRoutes(router, database, desks);
  addQueueRoutes(router, database);
  addTypeRoutes(router, database);
  addDocsRoutes(router, database);

  const app = new Koa<RequestState>();
  app.on('error', (error: Error & { headerSent?: boolean }) => {
    // After the headers it's the client that left.
    log[error.headerSent ? 'debug' : 'error']({ err: error }, 'an answer could not be sent');
  });
  app.use(observe(log));
  app.use(secureHeaders);
  app.use(openTo(corsOrigins));
  app.use(problems(log));
  app.use(httpRules);
  app.use(fixedRoutes(router));
  app.use(router.routes());
  app.use(router.allowedMethods());
  return app;
}

function openTo(origins: string[]): Koa.Middleware {
  const allowed = new Set(origins);
  const exposed = EXPOSED.join(',');
  const answerPages = cors({
    origin: (ctx) => {
      if (allowed.has('*')) return '*';
      const origin = ctx.get('Origin');
      return allowed.has(origin) ? origin : '';
    },
    exposeHeaders: EXPOSED,
    maxAge: 600,
  });
  // The same, for what is no page, without looking at what only pages send.
  return (ctx, next) => {
    if ('origin' in ctx.req.headers) return answerPages(ctx, next);
    ctx.res.setHeader('Vary', 'Origin');
    if (allowed.has('*')) {
      ctx.res.setHeader('Access-Control-Allow-Origin', '*');
      ctx.res.setHeader('Access-Control-Expose-Headers', exposed);
    }
    return next();
  };
}
