// One attempt of one command, from the claim to its report.

import type { Report } from '../db/agents.ts';
import type { ClaimedCommand } from '../db/queue.ts';
import type { Logger } from '../runtime/log.ts';
import type { ExecutorRegistry } from './executors/executor.ts';
import { runExecutor } from './executors/run.ts';

/** Why an attempt is ended from outside. Only a time-out is reported: the rest is not ours to say. */
export type AbortReason = 'timed_out' | 'revoked' | 'released';

/** The longest setTimeout there is; no deadline is further away. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

export class Attempt {
  readonly command: ClaimedCommand;
  readonly #log: Logger;
  readonly #controller = new AbortController();
  readonly #aborted = Promise.withResolvers<AbortReason>();

  constructor(command: ClaimedCommand, log: Logger) {
    this.command = command;
    this.#log = log;
  }

  /** Ends the attempt now; an executor that does not listen to its signal is left to itself. */
  abort(reason: AbortReason): void {
    this.#aborted.resolve(reason);
    this.#controller.abort(new Error(reason));
  }

  /** Carries the command out. Answers nothing when the attempt is no longer ours. Never rejects. */
  async run(executors: ExecutorRegistry): Promise<Report | undefined> {
    const { id, attempt, timeoutMs } = this.command;
    const deadline = setTimeout(
      () => this.abort('timed_out'),
      Math.min(timeoutMs, LONGEST_TIMEOUT_MS),
    );
    const context = { commandId: id, attempt, signal: this.#controller.signal, log: this.#log };
    const outcome = await Promise.race([
      runExecutor(executors, this.command, context),
      this.#aborted.promise,
    ]);
    clearTimeout(deadline);
    if (outcome === 'timed_out') {
      const message = `timed out after ${timeoutMs} ms`;
      return { id, attempt, outcome, error: { code: outcome, message, retryable: true } };
    }
    return typeof outcome === 'string' ? undefined : { id, attempt, ...outcome };
  }
}
