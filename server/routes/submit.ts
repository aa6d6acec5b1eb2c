// Submitting commands over REST: one, or many at once.

import type { Router, RouterContext } from '@koa/router';
import type { Database } from '../../db/connect.ts';
import { CommandRefusedError } from '../../db/errors.ts';
import type { Logger } from '../../runtime/log.ts';
import { Admission } from '../admission.ts';
import { parseJson, readBody, readJson } from '../body.ts';
import type { Following } from '../following.ts';
import { Gate } from '../gate.ts';
import { KEY_POINTER, readIdempotencyKey, refuseIdempotencyKey } from '../idempotency-key.ts';
import { toBatch } from '../new-batch.ts';
import { toSubmission } from '../new-command.ts';
import type { RequestState } from '../observe.ts';
import { Problem, refused } from '../problem.ts';
import { assertNoQuery } from '../query.ts';
import { type Accepted, type AcceptedBatch, Submissions } from '../submissions.ts';
import { readWait, waitToAnswer } from '../wait.ts';

type Context = RouterContext<RequestState>;

const MAX_BATCH_BYTES = 8 * 1024 * 1024;

// Each batch at work takes a connection, and those who submit one command need some too; each batch
// inside may hold its body.
const BATCHES = { maxInside: 32, maxAtWork: 2 };

/** `POST /commands`, `POST /commands/batch`. */
export function addSubmitRoutes(
  router: Router<RequestState>,
  database: Database,
  log: Logger,
  following: Following,
): void {
  const admission = new Admission(database, log);
  const submissions = new Submissions(database.pool);
  const gate = new Gate(BATCHES);

  router.post('/commands', async (ctx) => {
    const seconds = readWait(ctx);
    const { id, replayed } = await submitOne(ctx, admission, submissions);
    sayWhether(replayed, ctx);
    ctx.res.setHeader('Location', ctx.path.endsWith('/') ? id : `commands/${id}`);
    ctx.body = { commandId: id };
    if (seconds) await waitToAnswer(ctx, following, { id, seconds, isNew: !replayed });
  });

  router.post('/commands/batch', async (ctx) => {
    assertNoQuery(ctx);
    refuseIdempotencyKey(ctx);
    const { batchId, ids, replayed } = await gate.enter(async () => {
      const body = await readBody(ctx, MAX_BATCH_BYTES);
      return await gate.work(() => submitBatch(body, admission, submissions));
    });
    sayWhether(replayed, ctx);
    ctx.body = { batchId, commandIds: ids };
  });
}

function sayWhether(replayed: boolean, ctx: Context): void {
  ctx.status = replayed ? 200 : 201;
  if (replayed) ctx.set('Idempotency-Replayed', 'true');
}

/** Reads a request's command and submits it; resolves when it is committed. */
async function submitOne(
  ctx: Context,
  admission: Admission,
  submissions: Submissions,
): Promise<Accepted> {
  const key = readIdempotencyKey(ctx);
  const submission = toSubmission(await readJson(ctx));
  if (key !== undefined && submission.idempotencyKey !== undefined) throw twoKeys();
  if (!admission.knows(submission)) await admission.look([submission]);
  admission.assertAdmitted(submission);
  const bytes = ctx.request.length ?? Infinity;
  if (key === undefined) return await submissions.add(submission, bytes);
  try {
    return await submissions.add({ ...submission, idempotencyKey: key }, bytes);
  } catch (error) {
    const isAboutKey = error instanceof CommandRefusedError && error.member === 'idempotencyKey';
    throw isAboutKey ? refused(error, [KEY_POINTER]) : error;
  }
}

async function submitBatch(
  body: Buffer,
  admission: Admission,
  submissions: Submissions,
): Promise<AcceptedBatch> {
  const batch = await toBatch(parseJson(body), body.length, admission);
  return await submissions.addBatch(batch);
}

function twoKeys(): Problem {
  const detail = 'the header Idempotency-Key is given too: expected one of the two';
  const errors = [{ pointer: '#/idempotencyKey', detail }];
  return new Problem(400, 'invalid_command', 'This is no command.', { errors });
}
