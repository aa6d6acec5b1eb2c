// The contract of an executor: the code that carries out one type of command.
//
// A type is one file that exports a `defineExecutor(…)` and one line in registry.ts. The schemas are
// published as JSON Schema, so they must be expressible in it: no transforms, no dates. The result's
// is applied to what will be stored, which is the result as JSON.

import type { z } from 'zod';
import type { Logger } from '../../runtime/log.ts';

/** What an executor knows of the attempt it carries out. */
export interface ExecutorContext {
  commandId: string;
  /** The number of the claim, from 1: 2 means that an earlier attempt may have had effects. */
  attempt: number;
  /** Aborted when the attempt timed out or is no longer ours. End promptly, by rejecting. */
  signal: AbortSignal;
  log: Logger;
}

export interface Executor<P = unknown, R = unknown> {
  type: string;
  /** One sentence for people who choose a type. */
  description: string;
  payload: z.ZodType<P>;
  result: z.ZodType<R>;
  /** How long an attempt may take: `defaultMs`, plus the payload's member `payloadKey` (ms). */
  timeout: { defaultMs: number; payloadKey?: string };
  /**
   * Carries out the command. A negative answer of the world is a result; throwing fails the attempt,
   * which is tried again as the command's policy says unless the error has `retryable: false`.
   */
  // A method and not a property, so that an Executor<P, R> is an Executor: `runExecutor` calls it
  // with nothing but what its own payload schema has accepted.
  execute(payload: P, context: ExecutorContext): Promise<R>;
}

/** Every type an agent can carry out, by name. */
export type ExecutorRegistry = ReadonlyMap<string, Executor>;

/** Infers the payload's and the result's types from the schemas. */
export function defineExecutor<P, R>(executor: Executor<P, R>): Executor<P, R> {
  return executor;
}
