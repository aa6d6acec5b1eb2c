// What an executor is told when a test runs it.

import pino from 'pino';
import type { ExecutorContext } from '../../agent/executors/executor.ts';

export function executorContext(overrides: Partial<ExecutorContext> = {}): ExecutorContext {
  return {
    commandId: '0198a0de-0000-7000-8000-000000000001',
    attempt: 1,
    signal: new AbortController().signal,
    log: pino({ level: 'silent' }),
    progress: () => {},
    print: () => {},
    ...overrides,
  };
}
