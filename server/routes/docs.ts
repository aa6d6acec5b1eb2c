// What the API is: OpenAPI, and a page that shows it.

import { createHash } from 'node:crypto';
import type { Router, RouterContext } from '@koa/router';
import { listAgents } from '../../db/agent-states.ts';
import { listCommands } from '../../db/command-list.ts';
import { readCommandTypes } from '../../db/command-types.ts';
import type { Database } from '../../db/connect.ts';
import type { RequestState } from '../observe.ts';
import { type Asset, asset, ASSETS_VERSION, page, PAGE_POLICY } from '../openapi-page.ts';
import { describeApi, describeForPage } from '../openapi.ts';
import { assertNoQuery } from '../query.ts';

const MAX_AGE_MS = 5_000;
const ASSET_AGE_SECONDS = 86_400;

/** `GET /openapi.json`, `GET /docs` and what that page needs. */
export function addDocsRoutes(router: Router<RequestState>, { kysely }: Database): void {
  const description = cached(async () => describeApi(await readCommandTypes(kysely)), MAX_AGE_MS);

  router.get('/openapi.json', async (ctx) => {
    assertNoQuery(ctx);
    answer(ctx, toJson(await description()), 'no-cache');
  });

  router.get('/docs', (ctx) => {
    assertNoQuery(ctx);
    ctx.set({ 'Content-Security-Policy': PAGE_POLICY, 'Cache-Control': 'no-cache' });
    ctx.type = 'text/html; charset=utf-8';
    ctx.body = page(ctx.path.endsWith('/') ? '' : 'docs/');
  });

  // For the page: what is tried there should find something.
  router.get('/docs/openapi.json', async (ctx) => {
    assertNoQuery(ctx);
    const { commands } = await listCommands(kysely, { filter: {}, limit: 1 });
    const agents = await listAgents(kysely, { limit: 1 });
    const examples = { commandId: commands[0]?.command.id, agentId: agents[0]?.id };
    answer(ctx, toJson(describeForPage(await description(), examples)), 'no-cache');
  });

  router.get('/docs/:asset', async (ctx) => {
    const found = await asset(ctx.params['asset'] ?? '');
    if (!found) return;
    assertNoQuery(ctx);
    answer(ctx, { ...found, tag: ASSETS_VERSION }, `public, max-age=${ASSET_AGE_SECONDS}`);
  });
}

/** `tag` tells versions apart. */
type Tagged = Asset & { tag: string };

function answer(ctx: RouterContext<RequestState>, { type, body, tag }: Tagged, caching: string) {
  const etag = `W/"${tag}"`;
  ctx.set({ 'Content-Type': type, ETag: etag, 'Cache-Control': caching });
  const kept = ctx.get('If-None-Match').split(',');
  if (kept.some((one) => one.trim() === etag)) ctx.status = 304;
  else ctx.body = body;
}

function toJson(value: object): Tagged {
  const body = JSON.stringify(value);
  const tag = createHash('sha256').update(body).digest('base64url').slice(0, 22);
  return { type: 'application/json; charset=utf-8', body, tag };
}

/** What `read` answers, at most so old; those who ask at once share one reading. */
function cached<T>(read: () => Promise<T>, maxAgeMs: number): () => Promise<T> {
  let kept: Promise<T> | undefined;
  let readAtMs = -Infinity;
  return () => {
    if (kept && performance.now() - readAtMs < maxAgeMs) return kept;
    const reading = read();
    kept = reading;
    readAtMs = performance.now();
    reading.catch(() => {
      if (kept === reading) kept = undefined;
    });
    return reading;
  };
}
