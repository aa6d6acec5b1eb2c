// One attempt of one command, from the claim to its outcome.

import type { ClaimedCommand } from '../db/claim.ts';
import type { Logger } from '../runtime/log.ts';
import type { ExecutorRegistry } from './executors/executor.ts';
import { runExecutor, type Outcome as Executed } from './executors/run.ts';
import type { Outcome } from './journal-file.ts';
import type { Journal } from './journal.ts';
import type { Transcript } from './transcript.ts';

/**
 * Why an attempt is ended from outside. A time-out and a cancellation are outcomes; what is revoked or
 * given back comes to nothing that would be ours to say.
 */
export type AbortReason = 'timed_out' | 'cancelled' | 'revoked' | 'released';

/** The longest setTimeout there is; no deadline is further away. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

export class Attempt {
  readonly command: ClaimedCommand;
  /** What it says while it runs. */
  readonly transcript: Transcript;
  /** By performance.now(). */
  readonly claimedAtMs = performance.now();
  readonly log: Logger;
  readonly #controller = new AbortController();
  readonly #ended = Promise.withResolvers<Executed | AbortReason>();
  #deadline: NodeJS.Timeout | undefined;
  #outcome: Outcome | undefined;

  constructor(command: ClaimedCommand, transcript: Transcript, log: Logger) {
    this.command = command;
    this.transcript = transcript;
    this.log = log;
  }

  /** Whether it came to something: from then on it is ours to report, and not to give back. */
  get hasOutcome(): boolean {
    return this.#outcome !== undefined;
  }

  /**
   * Ends the attempt now, or before it starts; an executor that does not listen to its signal is left to
   * itself. Answers false when it had ended before: what it came to stands.
   */
  abort(reason: AbortReason): boolean {
    if (this.hasOutcome || this.#controller.signal.aborted) return false;
    this.#ended.resolve(reason);
    this.#controller.abort(new Error(reason));
    return true;
  }

  /**
   * Carries the command out, unless the journal knows what it came to. Answers nothing when there is
   * nothing to report: the attempt is no longer ours, or the journal cannot say. (The next beat then
   * tells the ledger that it was not started.) Never rejects.
   */
  async run(executors: ExecutorRegistry, journal: Journal): Promise<Outcome | undefined> {
    try {
      this.#outcome = this.#recall(journal) ?? this.#toOutcome(await this.#untilEnded(executors));
    } catch (error) {
      this.log.error({ err: error }, 'cannot tell whether the command was executed before');
    }
    clearTimeout(this.#deadline);
    return this.#outcome;
  }

  #recall(journal: Journal): Outcome | undefined {
    const { id, attempt } = this.command;
    const executed = journal.recall(id);
    if (!executed) return undefined;
    this.log.info(`Command ${id} already executed (idempotency check)`);
    const { result, executedAt } = executed;
    return { report: { id, attempt, outcome: 'completed', result }, executedAt };
  }

  /** Begins, and answers what the executor comes to, or what comes before. */
  #untilEnded(executors: ExecutorRegistry): Promise<Executed | AbortReason> {
    const { id: commandId, attempt, type, timeoutMs } = this.command;
    const { signal } = this.#controller;
    if (signal.aborted) return this.#ended.promise;
    this.log.debug({ type }, 'executing');
    this.#deadline = setTimeout(
      () => this.abort('timed_out'),
      Math.min(timeoutMs, LONGEST_TIMEOUT_MS),
    );
    const context = { commandId, attempt, signal, log: this.log, ...this.transcript.voice };
    void runExecutor(executors, this.command, context).then(this.#ended.resolve);
    return this.#ended.promise;
  }

  #toOutcome(ended: Executed | AbortReason): Outcome | undefined {
    const { id, attempt } = this.command;
    const executedAt = Date.now();
    if (ended === 'revoked' || ended === 'released') return undefined;
    if (typeof ended !== 'string') return { report: { id, attempt, ...ended }, executedAt };
    const error = { code: ended, ...this.#explain(ended) };
    return { report: { id, attempt, outcome: ended, error }, executedAt };
  }

  #explain(reason: 'timed_out' | 'cancelled') {
    return reason === 'cancelled'
      ? { message: 'somebody asked to cancel it', retryable: false }
      : { message: `timed out after ${this.command.timeoutMs} ms`, retryable: true };
  }
}
