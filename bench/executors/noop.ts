// The command type of the throughput benches: it does nothing, so that what is measured is the system.

import type { ExecutorKit } from '../../agent/custom-executors.ts';

export default ({ defineExecutor, z }: ExecutorKit) =>
  defineExecutor({
    type: 'NOOP',
    description: 'Does nothing.',
    payload: z.strictObject({}),
    result: z.strictObject({ ok: z.literal(true) }),
    timeout: { defaultMs: 60_000 },
    execute: () => Promise.resolve({ ok: true as const }),
  });
