import type { ParameterizedContext } from 'koa';

/** Aborts when nobody waits for the answer any more. */
export function gone({ res }: Pick<ParameterizedContext, 'res'>): AbortSignal {
  const abort = new AbortController();
  if (res.closed) abort.abort();
  res.once('close', () => abort.abort());
  return abort.signal;
}

/** The same, or when the server stops: `ended` is its word for that. */
export function released(
  ctx: Pick<ParameterizedContext, 'res'>,
  { ended }: { ended: AbortSignal },
): AbortSignal {
  return AbortSignal.any([gone(ctx), ended]);
}
