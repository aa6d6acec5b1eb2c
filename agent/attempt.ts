// One attempt of one command, from the claim to its outcome.

import type { ClaimedCommand } from '../db/queue.ts';
import type { Logger } from '../runtime/log.ts';
import type { ExecutorRegistry } from './executors/executor.ts';
import { runExecutor } from './executors/run.ts';
import type { Outcome } from './journal-file.ts';
import type { Journal } from './journal.ts';

/** Why an attempt is ended from outside. Only a time-out is reported: the rest is not ours to say. */
export type AbortReason = 'timed_out' | 'revoked' | 'released';

/** The longest setTimeout there is; no deadline is further away. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

export class Attempt {
  readonly command: ClaimedCommand;
  readonly #log: Logger;
  readonly #controller = new AbortController();
  readonly #aborted = Promise.withResolvers<AbortReason>();
  #outcome: Outcome | undefined;

  constructor(command: ClaimedCommand, log: Logger) {
    this.command = command;
    this.#log = log;
  }

  /** Whether it came to something: from then on it is ours to report, and not to give back. */
  get hasOutcome(): boolean {
    return this.#outcome !== undefined;
  }

  /** Ends the attempt now; an executor that does not listen to its signal is left to itself. */
  abort(reason: AbortReason): void {
    this.#aborted.resolve(reason);
    this.#controller.abort(new Error(reason));
  }

  /**
   * Carries the command out, unless the journal knows what it came to. Answers nothing when there is
   * nothing to report: the attempt is no longer ours, or the journal cannot say. (The next beat then
   * tells the ledger that it was not started.) Never rejects.
   */
  async run(executors: ExecutorRegistry, journal: Journal): Promise<Outcome | undefined> {
    try {
      this.#outcome = this.#recall(journal) ?? (await this.#execute(executors));
    } catch (error) {
      this.#log.error({ err: error }, 'cannot tell whether the command was executed before');
    }
    return this.#outcome;
  }

  #recall(journal: Journal): Outcome | undefined {
    const { id, attempt } = this.command;
    const executed = journal.recall(id);
    if (!executed) return undefined;
    this.#log.info(`Command ${id} already executed (idempotency check)`);
    const { result, executedAt } = executed;
    return { report: { id, attempt, outcome: 'completed', result }, executedAt };
  }

  async #execute(executors: ExecutorRegistry): Promise<Outcome | undefined> {
    const { id, attempt, type, timeoutMs } = this.command;
    this.#log.debug({ type }, 'executing');
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
    const executedAt = Date.now();
    if (outcome === 'timed_out') {
      const message = `timed out after ${timeoutMs} ms`;
      const error = { code: outcome, message, retryable: true };
      return { report: { id, attempt, outcome, error }, executedAt };
    }
    if (typeof outcome === 'string') return undefined;
    return { report: { id, attempt, ...outcome }, executedAt };
  }
}
