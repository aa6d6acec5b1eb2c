// Claiming over REST, for agents in any language: `next` for the simplest of them, `claim` for several at
// once, and what their attempts came to.

import type { Router, RouterContext } from '@koa/router';
import type { ClaimAnswer } from '../../db/client-claims.ts';
import type { CommandError } from '../../db/agents.ts';
import type { AgentDesks } from '../agent-desks.ts';
import { claimBody, nextQuery, resultBody, withSimpleDefaults } from '../agent-requests.ts';
import { MAX_BODY_BYTES, parseJson, readBody, readJson } from '../body.ts';
import { assertCommandId, unknownCommand } from '../command-id.ts';
import { released } from '../gone.ts';
import type { RequestState } from '../observe.ts';
import { parse } from '../parse.ts';
import { Problem } from '../problem.ts';
import { assertNoQuery, parseQuery } from '../query.ts';
import { MAX_RESULT_DEPTH } from '../json-limits.ts';
import { onUndelivered } from '../undelivered.ts';

type Context = RouterContext<RequestState>;

const WRONG_CLAIM = { at: [], code: 'invalid_claim', detail: 'This is no claim.' };
const WRONG_RESULT = { at: [], code: 'invalid_report', detail: 'This is no report of a result.' };

/** A result may be larger than what is submitted. */
const MAX_RESULT_BYTES = 8 * MAX_BODY_BYTES;

/** `GET /commands/next`, `POST /commands/claim`, `PUT /commands/:id/result`. */
export function addClaimRoutes(router: Router<RequestState>, desks: AgentDesks): void {
  router.get('/commands/next', async (ctx) => {
    if (ctx.method === 'HEAD') throw noHead();
    const { wait, ...request } = parseQuery(nextQuery, ctx.querystring);
    const [command] = await claim(ctx, { ...request, limit: 1 }, wait);
    ctx.set('Cache-Control', 'no-store');
    if (command) ctx.body = command;
    else ctx.status = 204;
  });

  router.post('/commands/claim', async (ctx) => {
    assertNoQuery(ctx);
    const { wait, ...request } = parse(claimBody, await readJson(ctx), WRONG_CLAIM);
    ctx.body = await claim(ctx, request, wait);
  });

  router.put('/commands/:id/result', async (ctx) => {
    const id = assertCommandId(ctx.params['id']).toLowerCase();
    assertNoQuery(ctx);
    const body = parseJson(await readBody(ctx, MAX_RESULT_BYTES), MAX_RESULT_DEPTH);
    const { result, error, outcome = 'failed', ...from } = parse(resultBody, body, WRONG_RESULT);
    const { answer, faults } = await desks.results.report(
      error
        ? { id, ...from, outcome, error: error satisfies CommandError }
        : { id, ...from, outcome: 'completed', result },
    );
    if (answer === 'unknown') throw unknownCommand();
    if (answer === 'stale') throw notOwner();
    if (faults.length > 0)
      throw new Problem(
        422,
        'invalid_result',
        'This is no result of its type: the attempt failed.',
        {
          errors: faults,
        },
      );
    ctx.body = { success: true };
  });

  async function claim(
    ctx: Context,
    request: Parameters<AgentDesks['claims']['claim']>[0],
    seconds: number,
  ) {
    const signal = released(ctx, desks);
    const answer = await desks.claims.claim(withSimpleDefaults(request), {
      ms: seconds * 1_000,
      signal,
    });
    assertMayClaim(answer);
    const { commands, session } = answer;
    if (commands.length > 0) {
      // A session's beats tell what it never started. Who has none is watched for a moment longer, where
      // a mistake would do no harm.
      const orReset =
        request.session === undefined &&
        commands.every(({ delivery }) => delivery === 'at_least_once');
      onUndelivered(ctx, () => void desks.claims.takeBack(session, commands), { orReset });
    }
    return commands;
  }
}

function assertMayClaim({ answer }: ClaimAnswer): void {
  if (answer === 'superseded') throw superseded();
  if (answer === 'unknown_agent') throw notRegistered('#/agentId');
  if (answer === 'has_session') {
    const detail = 'This agent has a session, and the request does not say which.';
    const errors = [{ pointer: '#/session', detail }];
    throw new Problem(409, 'session_needed', detail, { errors });
  }
}

export function superseded(): Problem {
  const detail = 'A newer process is this agent now.';
  return new Problem(409, 'superseded', detail, { errors: [{ pointer: '#/session', detail }] });
}

export function notRegistered(pointer: string): Problem {
  const detail = 'No such agent is registered, or it has signed off.';
  return new Problem(404, 'unknown_agent', detail, { errors: [{ pointer, detail }] });
}

function notOwner(): Problem {
  const detail = 'The attempt does not own the command, or does not own it any more.';
  return new Problem(409, 'not_owner', detail, { errors: [{ pointer: '#/path/id', detail }] });
}

// A client that asks for headers only would never see the command.
function noHead(): Problem {
  const detail = 'This address knows only GET: it gives a command away.';
  return new Problem(405, 'method_not_allowed', detail, {
    errors: [{ pointer: '#/method', detail }],
    headers: { Allow: 'GET' },
  });
}
