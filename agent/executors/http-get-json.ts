// HTTP_GET_JSON: gets a URL and keeps the answer. http-exchange.ts says what counts as one.

import { z } from 'zod';
import { defineExecutor } from './executor.ts';
import {
  answerShape,
  attemptTimeout,
  exchange,
  EXCHANGE_MS,
  requestHeaders,
} from './http-exchange.ts';
import { httpUrl } from './http-url.ts';

/** The executor, with a total time of its own for tests. */
export function createHttpGetJson({ timeoutMs = EXCHANGE_MS } = {}) {
  return defineExecutor({
    type: 'HTTP_GET_JSON',
    description: 'Gets an http or https URL and keeps the status and up to 100 KB of the body.',
    payload: z.strictObject({ url: httpUrl.describe('what to get') }),
    result: z.strictObject(answerShape),
    timeout: attemptTimeout(timeoutMs),

    async execute({ url }, context) {
      const request = { url, method: 'GET', headers: requestHeaders(context), body: null };
      const { signal } = context;
      const { headers: _, ...answer } = await exchange(request, { signal, timeoutMs });
      return answer;
    },
  });
}

export const httpGetJson = createHttpGetJson();
