// Simulated crashes, to see the rest of the system heal: the process ends in the middle of what it does,
// with exit code 1 and without a goodbye to anybody.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../runtime/log.ts';
import type { Executor, ExecutorRegistry } from './executors/executor.ts';

/** A doomed command takes the process with it within this time, or when it ends. */
const DOOM_MS = 1_000;

export function crash(log: Logger, reason: string): never {
  log.warn({ reason }, 'simulating a crash');
  process.exit(1);
}

/** Executors of which each execution ends in a crash with this probability: during it or at its end. */
export function withRandomFailures(
  executors: ExecutorRegistry,
  probability: number,
  crash: () => void,
): ExecutorRegistry {
  if (probability === 0) return executors;
  const doomed = ({ ...executor }: Executor): Executor => ({
    ...executor,
    async execute(payload, context) {
      const execution = executor.execute(payload, context);
      if (Math.random() < probability) {
        await Promise.race([Promise.allSettled([execution]), sleep(Math.random() * DOOM_MS)]);
        crash();
      }
      return await execution;
    },
  });
  return new Map(Array.from(executors, ([type, executor]) => [type, doomed(executor)]));
}
