// Agents over REST: who there is, and what each does now.

import type { Router } from '@koa/router';
import { z } from 'zod';
import { AGENT_STATES, findAgent, listAgents } from '../../db/agent-states.ts';
import type { Database } from '../../db/connect.ts';
import type { RequestState } from '../observe.ts';
import { Problem } from '../problem.ts';
import { assertNoQuery, oneOf, parseQuery, text } from '../query.ts';

const AGENT_ID = /^[\w.-]{1,64}$/;
const PAGE = 1_000;

export const listQuery = z.strictObject({
  state: oneOf(AGENT_STATES).exactOptional(),
  after: text.exactOptional(),
});

/** `GET /agents`, `GET /agents/:id`. */
export function addAgentRoutes(router: Router<RequestState>, { kysely }: Database): void {
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
    const id = ctx.params['id'] ?? '';
    const agent = AGENT_ID.test(id) ? await findAgent(kysely, id) : undefined;
    if (!agent) throw unknownAgent();
    ctx.body = agent;
  });
}

function unknownAgent(): Problem {
  const detail = 'There is no agent with this id.';
  const errors = [{ pointer: '#/path/id', detail }];
  return new Problem(404, 'unknown_agent', detail, { errors });
}
