// The agent: claim what is ready, execute it, report it.
//
//   wake ─▶ claim as many as there are free slots ─▶ execute each ─▶ report ─▶ slot free ─▶ claim …
//
// A slot is free when its command was executed; as many again may wait for their report to be
// acknowledged. When to claim is the claimer's to say.
//
// Between execution and report an outcome is written to the journal. Without a journal that can be
// written nothing is claimed, and a command that the journal knows as completed is not executed again.
//
// What somebody asked to cancel is aborted as soon as the agent hears of it, and reported as cancelled
// like any other outcome; what it had come to by then stands.

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { AttemptKey, Report } from '../db/agents.ts';
import type { ClaimedCommand } from '../db/queue.ts';
import type { Logger } from '../runtime/log.ts';
import { Attempt } from './attempt.ts';
import { Claimer } from './claimer.ts';
import type { ExecutorRegistry } from './executors/executor.ts';
import type { Outcome } from './journal-file.ts';
import type { Journal } from './journal.ts';
import type { AgentState } from './lifeline-messages.ts';
import { ProgressReporter } from './progress-reporter.ts';
import { Reporter } from './reporter.ts';
import type { Transport } from './transports/transport.ts';

export interface AgentOptions {
  transport: Transport;
  journal: Journal;
  executors: ExecutorRegistry;
  /** How many commands may execute at once. */
  concurrency: number;
  log: Logger;
}

/** How long giving back and signing off may take once draining is over. */
const GOODBYE_MS = 1_500;

export class Agent {
  readonly #transport: Transport;
  readonly #journal: Journal;
  readonly #executors: ExecutorRegistry;
  readonly #concurrency: number;
  readonly #log: Logger;
  readonly #reporter: Reporter;
  readonly #progress: ProgressReporter;
  readonly #claimer: Claimer;
  /** The newest attempt of each command that executes or has yet to be acknowledged, by its id. */
  readonly #attempts = new Map<string, Attempt>();
  /** Aborted to be given back: while the ledger has yet to hear so, no beat must call them unstarted. */
  #leaving: Attempt[] = [];
  #executing = 0;
  #draining = false;
  #whenIdle = Promise.withResolvers<void>();

  constructor({ transport, journal, executors, concurrency, log }: AgentOptions) {
    this.#transport = transport;
    this.#journal = journal;
    this.#executors = executors;
    this.#concurrency = concurrency;
    this.#log = log;
    const finish = (reports: Report[]) => transport.finish(reports);
    this.#reporter = new Reporter({ journal, finish, log });
    this.#progress = new ProgressReporter((reports) => transport.reportProgress(reports), log);
    this.#claimer = new Claimer({
      free: () => this.#free(),
      canRecord: () => journal.canRecord(),
      claim: (limit) => transport.claim(limit),
      endClaim: () => transport.endClaim(),
      pollIntervalMs: transport.pollIntervalMs,
      onClaimed: (commands) => this.#take(commands),
      log,
    });
  }

  /** Work may be waiting: claim, if there is a free slot. */
  wake(): void {
    this.#claimer.wake();
  }

  /** What a beat tells the database; asked before each. */
  state(): AgentState {
    this.#journal.check();
    // It may have become writable, and nobody says again that work waits.
    this.#claimer.pumpSoon();
    return {
      running: this.#running(),
      settledClaimNo: this.#transport.settledClaimNo,
      draining: this.#draining,
    };
  }

  /** A beat found that these are no longer ours. A newer attempt of the same command may be. */
  revoke(attempts: AttemptKey[]): void {
    for (const { id, attempt } of attempts) {
      const running = this.#attempts.get(id);
      if (running?.command.attempt !== attempt) continue;
      this.#log.warn({ commandId: id, attempt }, 'no longer ours: aborting');
      running.abort('revoked');
    }
  }

  /** Somebody asked to cancel these commands, of which most or all run elsewhere. */
  cancel(ids: readonly string[]): void {
    this.#claimer.noteCancelled(ids);
    for (const id of ids) {
      const running = this.#attempts.get(id);
      if (running) this.#cancel(running);
    }
  }

  /**
   * Stops claiming, lets what runs finish within `timeoutMs`, gives the rest back and signs off.
   * Answers whether everything could be said to the ledger.
   */
  async drain(timeoutMs: number): Promise<boolean> {
    this.#draining = true;
    this.#log.info({ running: this.#attempts.size }, 'draining');
    this.#settleIdle();
    await Promise.race([
      Promise.all([this.#whenIdle.promise, this.#claimer.stop()]),
      sleep(timeoutMs, undefined, { ref: false }),
    ]);
    const goodbye = await Promise.race([
      this.#sayGoodbye(),
      sleep(GOODBYE_MS, false as const, { ref: false }),
    ]);
    this.#reporter.giveUp();
    this.#progress.close();
    return goodbye;
  }

  #free(): number {
    return Math.min(
      this.#concurrency - this.#executing,
      2 * this.#concurrency - this.#attempts.size,
    );
  }

  async #take(commands: ClaimedCommand[]): Promise<void> {
    if (this.#draining) return await this.#giveBack(commands);
    for (const command of commands) this.#start(command);
  }

  #start(command: ClaimedCommand): void {
    const { id, attempt: number } = command;
    const log = this.#log.child({ commandId: id, attempt: number });
    const transcript = this.#progress.open({ id, attempt: number });
    const attempt = new Attempt(command, transcript, log);
    // That it could be claimed anew shows that an attempt of it that still runs here is not ours.
    this.#attempts.get(id)?.abort('revoked');
    this.#attempts.set(id, attempt);
    this.#executing += 1;
    if (command.cancelRequested) this.#cancel(attempt);
    void this.#carryOut(attempt, log);
  }

  #cancel(attempt: Attempt): void {
    const { id, attempt: number } = attempt.command;
    if (attempt.abort('cancelled'))
      this.#log.info({ commandId: id, attempt: number }, 'to be cancelled: aborting');
  }

  async #carryOut(attempt: Attempt, log: Logger): Promise<void> {
    const outcome = await attempt.run(this.#executors, this.#journal);
    this.#executing -= 1;
    this.#claimer.pumpSoon();
    const { id } = attempt.command;
    const said = this.#progress.end(attempt.transcript);
    if (outcome) await this.#report(outcome, said, attempt, log);
    // A newer attempt of this command may have taken its place.
    if (this.#attempts.get(id) === attempt) this.#attempts.delete(id);
    this.#claimer.pumpSoon();
    this.#settleIdle();
  }

  async #report(
    outcome: Outcome,
    said: Promise<void>,
    { command: { type } }: Attempt,
    log: Logger,
  ): Promise<void> {
    const { report } = outcome;
    try {
      const answer = await this.#reporter.report(outcome, said);
      if (answer !== 'accepted') log.warn({ answer }, 'the report came too late');
      else if (report.outcome === 'completed') log.info({ type }, 'completed');
      else if (report.outcome === 'cancelled') log.info({ type }, 'cancelled');
      else log.warn({ type, error: report.error }, report.outcome);
    } catch (error) {
      log.error({ err: error }, 'not reported');
    }
  }

  async #sayGoodbye(): Promise<boolean> {
    try {
      await this.#claimer.stop();
      const left = [...this.#attempts.values()];
      this.#leaving = left;
      for (const attempt of left) attempt.abort('released');
      // What ended at the same moment has an outcome too: it is to be reported, not given back.
      await nextTurn();
      const unended = left.filter((attempt) => !attempt.hasOutcome);
      // Once given back they have no say.
      await Promise.all(unended.map(({ transcript }) => this.#progress.end(transcript)));
      await this.#giveBack(unended.map(({ command }) => command));
      // The ledger takes back all that an agent holds when it signs off: its reports go first.
      await this.#whenIdle.promise;
      await this.#transport.signOff();
      return true;
    } catch (error) {
      this.#log.warn({ err: error }, 'could not sign off');
      return false;
    }
  }

  async #giveBack(commands: AttemptKey[]): Promise<void> {
    if (commands.length === 0) return;
    const claims = commands.map(({ id, attempt }) => ({ id, attempt }));
    await this.#transport.release(claims);
    this.#log.info({ commands: claims.length }, 'released');
  }

  #running(): AttemptKey[] {
    const attempts = new Set([...this.#attempts.values(), ...this.#leaving]);
    return Array.from(attempts, ({ command: { id, attempt } }) => ({ id, attempt }));
  }

  #settleIdle(): void {
    if (this.#draining && this.#attempts.size === 0) this.#whenIdle.resolve();
  }
}
