// The life of an agent that comes over HTTP: it registers, beats, reports, gives back and signs off.

import { randomUUID } from 'node:crypto';
import type { Router, RouterContext } from '@koa/router';
import type pg from 'pg';
import type { z } from 'zod';
import {
  registerAgent,
  release,
  reportProgress,
  signOff,
  type BeatAnswer,
} from '../../db/agents.ts';
import { publishTypes, type CommandTypeDefinition } from '../../db/command-types.ts';
import { readAgentTimes } from '../../db/agent-states.ts';
import type { Database } from '../../db/connect.ts';
import { BuiltInTypeError } from '../../db/errors.ts';
import type { AgentDesks } from '../agent-desks.ts';
import {
  beatBody,
  progressBody,
  registration,
  releaseBody,
  resultsBody,
  signOffBody,
} from '../agent-requests.ts';
import { MAX_BODY_BYTES, parseJson, readBody } from '../body.ts';
import { released } from '../gone.ts';
import { MAX_RESULT_DEPTH } from '../json-limits.ts';
import type { RequestState } from '../observe.ts';
import { parse } from '../parse.ts';
import { compilePayloadCheck } from '../payload-schema.ts';
import { type Fault, Problem } from '../problem.ts';
import { assertNoQuery } from '../query.ts';
import { surely } from '../surely.ts';
import { readAgentId } from './agents.ts';
import { notRegistered, superseded } from './claims.ts';

type Context = RouterContext<RequestState>;

const WRONG = { at: [], code: 'invalid_body', detail: 'This is not what the route takes.' };

/** A hundred results of a hundred kilobytes, and some. */
const MAX_REPORTS_BYTES = 32 * MAX_BODY_BYTES;

/** `POST /agents` and, below `/agents/:id`, `/beat`, `/results`, `/progress`, `/release`, `/sign-off`. */
export function addAgentSessionRoutes(
  router: Router<RequestState>,
  { pool }: Database,
  desks: AgentDesks,
): void {
  router.post('/agents', async (ctx) => {
    assertNoQuery(ctx);
    const {
      agentId = `agent-${randomUUID()}`,
      session = randomUUID(),
      contracts,
      ...info
    } = parse(registration, parseJson(await readBody(ctx)), WRONG);
    assertSchemas(contracts);
    await publish(pool, contracts);
    const takenBack = await surely(() => registerAgent(pool, { agentId, session }, info));
    ctx.status = 201;
    ctx.set('Location', `agents/${agentId}`);
    ctx.body = { agentId, session, takenBack, ...(await readAgentTimes(pool)) };
  });

  const route = <T>(
    verb: string,
    schema: z.ZodType<T>,
    act: (id: string, body: T, ctx: Context) => Promise<unknown>,
    maxBytes = MAX_BODY_BYTES,
  ) =>
    router.post(`/agents/:id/${verb}`, async (ctx) => {
      const id = readAgentId(ctx);
      assertNoQuery(ctx);
      const body = parse(schema, parseJson(await readBody(ctx, maxBytes), MAX_RESULT_DEPTH), WRONG);
      ctx.body = await act(id, body, ctx);
    });

  route('beat', beatBody, async (agentId, { wait, ...state }, ctx) => {
    const signal = released(ctx, desks);
    const answer = await desks.beats.beat({ agentId, ...state }, { ms: wait * 1_000, signal });
    assertAlive(answer);
    const { revoked, cancelled, ready, drain, intervalMs } = answer;
    return { revoked, cancelled, ready, drain, intervalMs };
  });

  route(
    'results',
    resultsBody,
    async (_id, { session, reports }) => ({
      answers: await desks.results.reportAll(
        session,
        reports.map((report) => ({ result: null, ...report })),
      ),
    }),
    MAX_REPORTS_BYTES,
  );

  route(
    'progress',
    progressBody,
    async (_id, { session, reports }) => ({
      answers: await reportProgress(pool, session, reports),
    }),
    4 * MAX_BODY_BYTES,
  );

  route('release', releaseBody, async (_id, { session, claims }) => ({
    answers: await surely(() => release(pool, session, claims)),
  }));

  route('sign-off', signOffBody, async (agentId, { session }, ctx) => {
    await surely(() => signOff(pool, { agentId, session }));
    ctx.status = 204;
    return null;
  });
}

/** @throws Problem 409 for a type that came with this code. */
async function publish(pool: pg.Pool, contracts: CommandTypeDefinition[]): Promise<void> {
  try {
    await surely(() => publishTypes(pool, contracts));
  } catch (error) {
    if (!(error instanceof BuiltInTypeError)) throw error;
    const index = contracts.findIndex(({ type }) => type === error.type);
    const errors = [{ pointer: `#/contracts/${index}/type`, detail: error.message }];
    throw new Problem(409, 'type_is_built_in', `The ${error.message}.`, { cause: error, errors });
  }
}

function assertAlive({ superseded: isSuperseded, unknown }: BeatAnswer): void {
  if (unknown) throw notRegistered('#/path/id');
  if (isSuperseded) throw superseded();
}

/** @throws Problem 400 for schemas that check nothing: that is better known before anything is submitted. */
function assertSchemas(contracts: { payloadSchema: object; resultSchema: object }[]): void {
  const errors = contracts.flatMap((contract, i) =>
    (['payloadSchema', 'resultSchema'] as const).flatMap((member): Fault[] => {
      try {
        compilePayloadCheck(contract[member]);
        return [];
      } catch (error) {
        return [{ pointer: `#/contracts/${i}/${member}`, detail: (error as Error).message }];
      }
    }),
  );
  if (errors.length > 0) throw new Problem(400, WRONG.code, WRONG.detail, { errors });
}
