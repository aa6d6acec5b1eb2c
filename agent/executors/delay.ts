// DELAY: waits.

import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { defineExecutor } from './executor.ts';

// 7 days. setTimeout takes up to 2^31 - 1 ms (24.8 days) and fires at once when asked for more.
const MAX_MS = 604_800_000;

export const delay = defineExecutor({
  type: 'DELAY',
  description: 'Waits for a number of milliseconds, up to 7 days.',
  payload: z.strictObject({
    ms: z.int().min(0).max(MAX_MS).describe('how long to wait, in milliseconds'),
  }),
  result: z.strictObject({
    ok: z.literal(true),
    tookMs: z.int().min(0).describe('how long it waited, at least `ms`'),
  }),
  timeout: { defaultMs: 60_000, payloadKey: 'ms' },

  async execute({ ms }, { signal }) {
    signal.throwIfAborted();
    const startedAt = performance.now();
    // A timer may fire up to a millisecond early; what is left is waited for then.
    for (let leftMs = ms; leftMs > 0; leftMs = ms - (performance.now() - startedAt)) {
      await sleep(Math.ceil(leftMs), undefined, { signal });
    }
    return { ok: true as const, tookMs: Math.round(performance.now() - startedAt) };
  },
});
