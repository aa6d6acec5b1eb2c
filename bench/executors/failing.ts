// A command type that fails: what follows is a retry.

import type { ExecutorKit } from '../../agent/custom-executors.ts';

export default ({ defineExecutor, z }: ExecutorKit) =>
  defineExecutor({
    type: 'FAILING',
    description: 'Fails.',
    payload: z.strictObject({}),
    result: z.unknown(),
    timeout: { defaultMs: 60_000 },
    execute: () => Promise.reject(new Error('it always does')),
  });
