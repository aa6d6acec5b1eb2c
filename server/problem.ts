// Errors as clients get them: every failure is one RFC 9457 `application/problem+json`.
//
// Code that refuses a request throws a Problem. Whatever else is thrown is translated here, and
// nowhere else: what the database refuses is 400, 409 or 422, a database that is away is 503, and anything
// unknown is a bug, so 500, logged with its stack and answered without a word about its cause.

import { STATUS_CODES } from 'node:http';
import type { Middleware, ParameterizedContext } from 'koa';
import { CommandRefusedError, isUnavailable } from '../db/errors.ts';
import type { Logger } from '../runtime/log.ts';
import type { RequestState } from './observe.ts';

/** One thing that is wrong with a request, and where: a JSON pointer such as `#/payload/ms`. */
export interface Fault {
  pointer: string;
  detail: string;
}

export interface ProblemOptions extends ErrorOptions {
  errors?: Fault[];
  headers?: Record<string, string>;
}

/** So many are answered, and no more need be looked for. */
export const MAX_FAULTS = 20;
const RETRY_AFTER_SECONDS = '2';
const KEY_RETRY_AFTER_SECONDS = '1';

/** A request that gets no for an answer. `code` is for programs, the message for people. */
export class Problem extends Error {
  override name = 'Problem';
  readonly status: number;
  readonly code: string;
  readonly errors: Fault[];
  readonly headers: Record<string, string>;

  constructor(status: number, code: string, detail: string, options: ProblemOptions = {}) {
    super(detail, options);
    this.status = status;
    this.code = code;
    this.errors = options.errors?.slice(0, MAX_FAULTS) ?? [];
    this.headers = options.headers ?? {};
  }
}

/** As clients get it; `instance`, the path, is missing where the request could not be read so far. */
export function problemJson({ status, message, code, errors }: Problem, requestId: string) {
  const title = STATUS_CODES[status];
  return { type: 'about:blank', title, status, detail: message, code, requestId, errors };
}

/** The one error path: turns what is thrown, and answers without a body, into problems. */
export function problems(log: Logger): Middleware<RequestState> {
  return async (ctx, next) => {
    try {
      assertReadableUrl(ctx);
      await next();
      if (ctx.status >= 400 && ctx.body === undefined) answer(ctx, bodiless(ctx));
    } catch (error) {
      const problem = toProblem(error);
      if (problem.status >= 500) report(log, ctx.state.requestId, problem, error);
      answer(ctx, problem);
    }
  };
}

/** What "the database is away" says, with `Retry-After`. */
export function databaseUnavailable(cause: unknown): Problem {
  return new Problem(503, 'database_unavailable', 'The database does not answer.', {
    cause,
    headers: { 'Retry-After': RETRY_AFTER_SECONDS },
  });
}

/** What the database refuses, at these places in the request. */
export function refused(error: CommandRefusedError, pointers = [error.pointer]): Problem {
  const { code, message } = error;
  const isInUse = code === 'idempotency_key_in_use';
  const status = isInUse ? 409 : code === 'idempotency_key_reused' ? 422 : 400;
  return new Problem(status, code, `The command was refused: ${message}.`, {
    cause: error,
    errors: pointers.map((pointer) => ({ pointer, detail: message })),
    headers: isInUse ? { 'Retry-After': KEY_RETRY_AFTER_SECONDS } : {},
  });
}

// A target like `http://[` passes Node's HTTP parser, and then Koa cannot take it apart.
function assertReadableUrl(ctx: ParameterizedContext): void {
  try {
    if (ctx.path) return;
  } catch {
    // Refused below.
  }
  throw refuse(400, 'invalid_url', 'The request target is no valid URL.', '#/path');
}

function bodiless({ status, response }: ParameterizedContext): Problem {
  if (status === 404)
    return refuse(404, 'unknown_route', 'There is nothing at this address.', '#/path');
  if (status !== 405)
    return refuse(
      status,
      'method_not_implemented',
      'No address here knows this method.',
      '#/method',
    );
  const detail = `This address knows only ${response.get('Allow')}.`;
  return refuse(405, 'method_not_allowed', detail, '#/method');
}

function refuse(status: number, code: string, detail: string, pointer: string): Problem {
  return new Problem(status, code, detail, { errors: [{ pointer, detail }] });
}

function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof CommandRefusedError) return refused(error);
  if (isUnavailable(error)) return databaseUnavailable(error);
  return new Problem(500, 'internal_error', 'Something went wrong here; the log says what.');
}

function report(log: Logger, requestId: string, problem: Problem, error: unknown): void {
  if (problem.status === 500) log.error({ requestId, err: error }, 'a request failed');
  else log.error({ requestId, cause: String(problem.cause) }, problem.message);
}

function answer(ctx: ParameterizedContext<RequestState>, problem: Problem): void {
  ctx.status = problem.status;
  ctx.set({ 'Content-Type': 'application/problem+json', ...problem.headers });
  const instance = ctx.originalUrl.split('?', 1)[0];
  ctx.body = { ...problemJson(problem, ctx.state.requestId), instance };
}
