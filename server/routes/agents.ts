// Agents over REST: who there is, what each does now, and whether it may claim more.

import type { Router, RouterContext } from '@koa/router';
import { z } from 'zod';
import {
  AGENT_STATES,
  drainAgent,
  findAgent,
  listAgents,
  resumeAgent,
} from '../../db/agent-states.ts';
import type { Database } from '../../db/connect.ts';
import { NAME } from '../../db/names.ts';
import type { RequestState } from '../observe.ts';
import { Problem } from '../problem.ts';
import { assertNoQuery, oneOf, parseQuery, text } from '../query.ts';
import { assertNoBody } from '../steering-body.ts';
import { surely } from '../surely.ts';

const PAGE = 1_000;

export const listQuery = z.strictObject({
  state: oneOf(AGENT_STATES).exactOptional(),
  after: text.exactOptional(),
});

/** `GET /agents`, `GET /agents/:id`, `POST /agents/:id/drain`, `POST /agents/:id/resume`. */
export function addAgentRoutes(router: Router<RequestState>, { pool, kysely }: Database): void {
  router.get('/agents', async (ctx) => {
    const query = parseQuery(listQuery, ctx.querystring);
    const agents = await listAgents(kysely, { ...query, limit: PAGE });
    const last = agents[PAGE - 1];
    if (last) {
      const next = new URLSearchParams({ ...query, after: last.id });
      ctx.set('Link', `<?${next.toString()}>; rel="next"`);
    }
    ctx.body = agents;
  });

  router.get('/agents/:id', async (ctx) => {
    assertNoQuery(ctx);
    ctx.body = await find(readAgentId(ctx));
  });

  const change = (verb: string, act: typeof drainAgent) =>
    router.post(`/agents/:id/${verb}`, async (ctx) => {
      const id = readAgentId(ctx);
      assertNoQuery(ctx);
      await assertNoBody(ctx);
      if (!(await surely(() => act(pool, id)))) throw unknownAgent();
      ctx.body = await find(id);
    });
  change('drain', drainAgent);
  change('resume', resumeAgent);

  async function find(id: string) {
    const agent = await findAgent(kysely, id);
    if (!agent) throw unknownAgent();
    return agent;
  }
}

/** @throws Problem 404: what is no id is no agent either. */
export function readAgentId(ctx: RouterContext<RequestState>): string {
  const id = ctx.params['id'] ?? '';
  if (!NAME.test(id)) throw unknownAgent();
  return id;
}

function unknownAgent(): Problem {
  const detail = 'There is no agent with this id.';
  const errors = [{ pointer: '#/path/id', detail }];
  return new Problem(404, 'unknown_agent', detail, { errors });
}
