// The agent: claim what is ready, execute it, report it.
//
//   wake ─▶ claim as many as there are free slots ─▶ execute each ─▶ report ─▶ slot free ─▶ claim …
//
// A slot is free when its command was executed; as many again, and more, may wait for their report to be
// acknowledged. When to claim is the claimer's to say. Where commands take next to no time some are
// claimed ahead of free slots (Lookahead says how many) and wait in a line: the next claim is on its way
// while they are executed. To the ledger they run; a process that dies with them has lost them.
//
// Between execution and report an outcome is written to the journal. Without a journal that can be
// written nothing is claimed, and a command that the journal knows as completed is not executed again.
//
// What somebody asked to cancel is aborted as soon as the agent hears of it, and reported as cancelled
// like any other outcome; what it had come to by then stands.

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { AttemptKey, GivenBack, Report } from '../db/agents.ts';
import type { ClaimedCommand } from '../db/claim.ts';
import type { Logger } from '../runtime/log.ts';
import { Attempt } from './attempt.ts';
import { Claimer, type Demand } from './claimer.ts';
import type { ExecutorRegistry } from './executors/executor.ts';
import type { Outcome } from './journal-file.ts';
import type { Journal } from './journal.ts';
import type { AgentState, Stir } from './lifeline-messages.ts';
import { ProgressReporter } from './progress-reporter.ts';
import { Reporter } from './reporter.ts';
import { Roster } from './roster.ts';
import { Slots } from './slots.ts';
import type { Transport } from './transports/transport.ts';

export interface AgentOptions {
  transport: Transport;
  journal: Journal;
  executors: ExecutorRegistry;
  /** How many commands may execute at once. */
  concurrency: number;
  log: Logger;
  /** Tells the lifeline of a claim that waits no more. */
  stir: (how: Stir) => void;
}

/** How long giving back and signing off may take once draining is over. */
const GOODBYE_MS = 1_500;

export class Agent {
  readonly #transport: Transport;
  readonly #journal: Journal;
  readonly #executors: ExecutorRegistry;
  readonly #log: Logger;
  readonly #reporter: Reporter;
  readonly #progress: ProgressReporter;
  readonly #claimer: Claimer;
  readonly #slots: Slots;
  /** The newest attempt of each command that waits, executes or has yet to be acknowledged. */
  readonly #attempts = new Roster();
  /** Aborted to be given back: while the ledger has yet to hear so, no beat must call them unstarted. */
  #leaving: Attempt[] = [];
  /** Whether the lifeline was told so, last. */
  #waits = false;
  readonly #stir: (how: Stir) => void;
  #draining = false;
  #whenIdle = Promise.withResolvers<void>();

  constructor({ transport, journal, executors, concurrency, log, stir }: AgentOptions) {
    this.#transport = transport;
    this.#journal = journal;
    this.#executors = executors;
    this.#log = log;
    this.#stir = (how) => {
      if (this.#waits) stir(how);
    };
    this.#slots = new Slots({
      concurrency,
      mayClaimAhead: transport.mayClaimAhead,
      mayBegin: () => journal.isUsable,
      execute: (attempt) => this.#execute(attempt),
      onOverdue: (attempts) => void this.#giveUpOn(attempts),
    });
    const finish = (reports: Report[]) => transport.finish(reports);
    this.#reporter = new Reporter({ journal, finish, log });
    this.#progress = new ProgressReporter((reports) => transport.reportProgress(reports), log);
    this.#claimer = new Claimer({
      demand: () => this.#slots.demand(this.#attempts.size),
      canRecord: () => journal.canRecord(),
      claim: (demand) => transport.claim(demand),
      endClaim: () => transport.endClaim(),
      pollIntervalMs: transport.pollIntervalMs,
      onClaimed: (commands, demand) => this.#take(commands, demand),
      onUnclaimed: () => this.#stir('beat'),
      onPause: () => this.#stir('busy'),
      log,
    });
  }

  /** Work may be waiting: claim, if there is room. */
  wake(): void {
    this.#claimer.wake();
  }

  /** What a beat tells the database; asked before each. */
  state(): AgentState {
    this.#journal.check();
    // It may have become writable, and nobody says again that work waits.
    this.#claimer.pumpSoon();
    const running = this.#running();
    this.#waits = running.length === 0 && !this.#draining && this.#transport.isWaiting;
    return {
      running,
      settledClaimNo: this.#transport.settledClaimNo,
      draining: this.#draining,
      waits: this.#waits,
    };
  }

  /** A beat found that these are no longer ours. A newer attempt of the same command may be. */
  revoke(attempts: AttemptKey[]): void {
    for (const { id, attempt } of attempts) {
      const running = this.#attempts.get(id);
      if (running?.command.attempt !== attempt) continue;
      this.#log.warn({ commandId: id, attempt }, 'no longer ours: aborting');
      this.#abort(running, 'revoked');
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
    const givenBack = this.#giveUpOn(this.#slots.clear());
    this.#settleIdle();
    await Promise.race([
      Promise.all([this.#whenIdle.promise, this.#claimer.stop(), givenBack]),
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

  async #take(commands: ClaimedCommand[], demand: Demand): Promise<void> {
    if (this.#draining) return await this.#giveBack(commands.map(unstarted));
    const attempts = commands.map((command) => this.#admit(command));
    // Before one of them may block this thread.
    if (attempts.length > 0) this.#stir('busy');
    this.#slots.take(attempts, demand);
  }

  #admit(command: ClaimedCommand): Attempt {
    const { id, attempt: number } = command;
    const log = this.#log.child({ commandId: id, attempt: number });
    const transcript = this.#progress.open({ id, attempt: number });
    const attempt = new Attempt(command, transcript, log);
    const older = this.#attempts.get(id);
    // That it could be claimed anew shows that an attempt of it that still runs here is not ours.
    if (older) this.#abort(older, 'revoked');
    this.#attempts.add(attempt);
    if (command.cancelRequested) this.#cancel(attempt);
    return attempt;
  }

  #cancel(attempt: Attempt): void {
    if (this.#abort(attempt, 'cancelled')) attempt.log.info('to be cancelled: aborting');
  }

  /** Answers false when it had ended before. What waits for a slot needs none to end. */
  #abort(attempt: Attempt, reason: 'cancelled' | 'revoked'): boolean {
    const aborted = attempt.abort(reason);
    if (this.#slots.remove(attempt)) void this.#execute(attempt);
    return aborted;
  }

  async #execute(attempt: Attempt): Promise<void> {
    const outcome = await attempt.run(this.#executors, this.#journal);
    void this.#conclude(attempt, outcome);
  }

  async #conclude(attempt: Attempt, outcome: Outcome | undefined): Promise<void> {
    this.#claimer.pumpSoon();
    const said = this.#progress.end(attempt.transcript);
    if (outcome) await this.#report(outcome, said, attempt);
    this.#attempts.remove(attempt);
    this.#claimer.pumpSoon();
    this.#settleIdle();
  }

  async #report(
    outcome: Outcome,
    said: Promise<void>,
    { command: { type }, log }: Attempt,
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
      const left = this.#attempts.all();
      this.#leaving = left;
      for (const attempt of left) attempt.abort('released');
      // What ended at the same moment has an outcome too: it is to be reported, not given back.
      await nextTurn();
      const unended = left.filter((attempt) => !attempt.hasOutcome);
      // Once given back they have no say.
      await Promise.all(unended.map(({ transcript }) => this.#progress.end(transcript)));
      await this.#giveBack(unended.map(({ command: { id, attempt } }) => ({ id, attempt })));
      // The ledger takes back all that an agent holds when it signs off: its reports go first.
      await this.#whenIdle.promise;
      await this.#transport.signOff();
      return true;
    } catch (error) {
      this.#log.warn({ err: error }, 'could not sign off');
      return false;
    }
  }

  async #giveBack(claims: GivenBack[]): Promise<void> {
    if (claims.length === 0) return;
    await this.#transport.release(claims);
    this.#log.info({ commands: claims.length }, 'released');
  }

  /** No slot came for these. Should the ledger not hear of it, the next beat tells it the same. */
  async #giveUpOn(attempts: Attempt[]): Promise<void> {
    for (const attempt of attempts) this.#attempts.remove(attempt);
    try {
      await this.#giveBack(attempts.map(({ command }) => unstarted(command)));
    } catch (error) {
      this.#log.warn({ err: error }, 'could not give back what waited for a slot');
    }
  }

  #running(): AttemptKey[] {
    const attempts = new Set([...this.#attempts.all(), ...this.#leaving]);
    return Array.from(attempts, ({ command: { id, attempt } }) => ({ id, attempt }));
  }

  #settleIdle(): void {
    if (this.#draining && this.#attempts.size === 0) this.#whenIdle.resolve();
  }
}

function unstarted({ id, attempt }: AttemptKey): GivenBack {
  return { id, attempt, started: false };
}
