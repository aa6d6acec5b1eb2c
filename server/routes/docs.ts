// What the API is: OpenAPI, and a page that shows it.

import type { Router } from '@koa/router';
import { listAgents } from '../../db/agent-states.ts';
import { listCommands } from '../../db/command-list.ts';
import { readCommandTypes } from '../../db/command-types.ts';
import type { Database } from '../../db/connect.ts';
import { answerTagged, answerUnlessKnown } from '../etag.ts';
import type { RequestState } from '../observe.ts';
import { asset, ASSETS_VERSION, page, PAGE_POLICY } from '../openapi-page.ts';
import { describeApi, describeForPage } from '../openapi.ts';
import { assertNoQuery } from '../query.ts';

const MAX_AGE_MS = 5_000;
const ASSET_AGE_SECONDS = 86_400;

/** `GET /openapi.json`, `GET /docs` and what that page needs. */
export function addDocsRoutes(router: Router<RequestState>, { kysely }: Database): void {
  const description = cached(async () => describeApi(await readCommandTypes(kysely)), MAX_AGE_MS);

  router.get('/openapi.json', async (ctx) => {
    assertNoQuery(ctx);
    answerUnlessKnown(ctx, await description());
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
    answerUnlessKnown(ctx, describeForPage(await description(), examples));
  });

  router.get('/docs/:asset', async (ctx) => {
    const found = await asset(ctx.params['asset'] ?? '');
    if (!found) return;
    assertNoQuery(ctx);
    const caching = `public, max-age=${ASSET_AGE_SECONDS}`;
    answerTagged(ctx, { ...found, tag: ASSETS_VERSION }, caching);
  });
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
