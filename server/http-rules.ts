// What every request must keep, and every answer carries.

import type { Context, Next } from 'koa';
import { Problem } from './problem.ts';

const SECURE_HEADERS = [
  ['X-Content-Type-Options', 'nosniff'],
  ['Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'"],
  ['Referrer-Policy', 'no-referrer'],
] as const;

/** @throws Problem 400 without a Host, 417 for an Expect that nobody here meets. */
export async function httpRules(ctx: Context, next: Next): Promise<void> {
  if (!('host' in ctx.req.headers) && ctx.req.httpVersion === '1.1')
    throw refuse(400, 'missing_host', 'A request of HTTP/1.1 names its Host.', 'host');
  if ('expect' in ctx.req.headers && !/^(100-continue)?$/i.test(ctx.get('Expect')))
    throw refuse(417, 'unknown_expectation', 'Only 100-continue can be expected.', 'expect');
  // Of the server as a whole there is nothing to tell.
  if (ctx.method === 'OPTIONS' && ctx.url === '*') ctx.status = 204;
  else await next();
}

/** Answers are data: no browser may guess another type, show them in a frame or run what is in them. */
export function secureHeaders({ res }: Context, next: Next): Promise<void> {
  for (const [name, value] of SECURE_HEADERS) res.setHeader(name, value);
  return next();
}

// The body of a request that is refused for its headers may follow or not: nobody can tell.
function refuse(status: number, code: string, detail: string, header: string): Problem {
  const errors = [{ pointer: `#/header/${header}`, detail }];
  return new Problem(status, code, detail, { errors, headers: { Connection: 'close' } });
}
