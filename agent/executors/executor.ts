// The contract of an executor: the code that carries out one type of command.
//
// A type is one file that exports a `defineExecutor(…)` and one line in registry.ts. The schemas are
// published as JSON Schema, so they must be expressible in it: no transforms, no dates. The result's
// is applied to what will be stored, which is the result as JSON.

import type { z } from 'zod';
import type { Logger } from '../../runtime/log.ts';

/**
 * How an executor speaks to whoever watches its command. Say as much as you like, whenever you like:
 * neither throws or waits, and what comes faster than it can be stored is left out.
 */
export interface Voice {
  /**
   * How far the attempt is, from 0 to 1 (NaN: nobody knows), and what it is about, in at most 500
   * characters. It replaces what was said before; what is said more often than four times a second is
   * skipped.
   */
  progress: (share: number, message?: string) => void;
  /** Adds a line to the command's log: up to 1,000 an attempt, of up to 2,000 characters. */
  print: (line: string) => void;
}

/** What an executor knows of the attempt it carries out, and speaks with. */
export interface ExecutorContext extends Voice {
  commandId: string;
  /** The number of the claim, from 1: 2 means that an earlier attempt may have had effects. */
  attempt: number;
  /**
   * Aborted when the attempt timed out, is to be cancelled, or is no longer ours; `reason.message` says
   * which. End promptly, by rejecting: what it still comes to is not heard.
   */
  signal: AbortSignal;
  /** The agent's own log, for whoever operates it. */
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
