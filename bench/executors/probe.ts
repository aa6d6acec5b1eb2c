// The command type of the latency benches: it says when it began.

import type { ExecutorKit } from '../../agent/custom-executors.ts';

export default ({ defineExecutor, z }: ExecutorKit) =>
  defineExecutor({
    type: 'PROBE',
    description: 'Says when it began, in ms since 1970.',
    payload: z.strictObject({}),
    result: z.strictObject({ beganAtMs: z.number() }),
    timeout: { defaultMs: 60_000 },
    execute: () => Promise.resolve({ beganAtMs: performance.timeOrigin + performance.now() }),
  });
