// Answers that a client may have already.

import { createHash } from 'node:crypto';
import type { ParameterizedContext } from 'koa';

/** Answers with JSON, or with 304 when the client says that it has this state. */
export function answerUnlessKnown(ctx: ParameterizedContext, data: object): void {
  const body = JSON.stringify(data);
  const tag = createHash('sha256').update(body).digest('base64url').slice(0, 22);
  answerTagged(ctx, { type: 'json', body, tag }, 'no-cache');
}

export interface Tagged {
  /** Of its content. */
  type: string;
  body: Buffer | string;
  /** Tells versions apart. */
  tag: string;
}

/**
 * Answers with what a tag stands for, or with 304 when the client says that it has this (`If-None-Match`).
 *
 * Not Koa's `fresh`: it heeds `Cache-Control: no-cache` of the request, which is meant for caches on the
 * way, and which every fetch() adds that is given an `If-None-Match`.
 */
export function answerTagged(
  ctx: ParameterizedContext,
  { type, body, tag }: Tagged,
  caching: string,
): void {
  ctx.set({ ETag: `W/"${tag}"`, 'Cache-Control': caching });
  if (isAmong(tag, ctx.get('If-None-Match'))) {
    ctx.status = 304;
    return;
  }
  ctx.type = type;
  ctx.body = body;
}

/** The weak comparison of RFC 9110. */
function isAmong(tag: string, known: string): boolean {
  const names = known.split(',').map((name) => name.trim());
  return names.some((name) => name === '*' || name.replace(/^W\//, '') === `"${tag}"`);
}
