// The agent: claim what is ready, execute it, report it.
//
//   wake ─▶ claim as many as there are free slots ─▶ execute each ─▶ report ─▶ slot free ─▶ claim …
//
// It claims when it is woken (NOTIFY, a beat that says work waits, a new connection) and, once the
// queue gave it all that it asked for, whenever a slot becomes free; it never polls. A slot is free
// when its command was executed; as many again may wait for their report to be acknowledged.
//
// Between execution and report an outcome is written to the journal. Without a journal that can be
// written nothing is claimed, and a command that the journal knows as completed is not executed again.

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { AttemptKey, Beat } from '../db/agents.ts';
import type { ClaimedCommand } from '../db/queue.ts';
import type { Logger } from '../runtime/log.ts';
import { Attempt } from './attempt.ts';
import type { ExecutorRegistry } from './executors/executor.ts';
import type { Outcome } from './journal-file.ts';
import type { Journal } from './journal.ts';
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
  /** The newest attempt of each command that executes or has yet to be acknowledged, by its id. */
  readonly #attempts = new Map<string, Attempt>();
  /** Aborted to be given back: while the ledger has yet to hear so, no beat must call them unstarted. */
  #leaving: Attempt[] = [];
  #executing = 0;
  #moreMayWait = false;
  #pumpIsDue = false;
  #claiming: Promise<void> | undefined;
  #draining = false;
  #whenIdle = Promise.withResolvers<void>();

  constructor(options: AgentOptions) {
    this.#transport = options.transport;
    this.#journal = options.journal;
    this.#executors = options.executors;
    this.#concurrency = options.concurrency;
    this.#log = options.log;
    this.#reporter = new Reporter({
      journal: options.journal,
      finish: (reports) => this.#transport.finish(reports),
      log: options.log,
    });
  }

  /** Work may be waiting: claim, if there is a free slot. */
  wake(): void {
    this.#moreMayWait = true;
    this.#pump();
  }

  /** What a beat tells the database; asked before each. */
  state(): Omit<Beat, 'queues'> {
    this.#journal.check();
    // It may have become writable, and nobody says again that work waits.
    this.#pumpSoon();
    return { running: this.#running(), settledClaimNo: this.#transport.settledClaimNo };
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

  /**
   * Stops claiming, lets what runs finish within `timeoutMs`, gives the rest back and signs off.
   * Answers whether everything could be said to the ledger.
   */
  async drain(timeoutMs: number): Promise<boolean> {
    this.#draining = true;
    this.#log.info({ running: this.#attempts.size }, 'draining');
    this.#settleIdle();
    await Promise.race([
      Promise.all([this.#whenIdle.promise, this.#claiming]),
      sleep(timeoutMs, undefined, { ref: false }),
    ]);
    const goodbye = await Promise.race([
      this.#sayGoodbye(),
      sleep(GOODBYE_MS, false as const, { ref: false }),
    ]);
    this.#reporter.giveUp();
    return goodbye;
  }

  #pump(): void {
    if (this.#claiming || this.#draining || !this.#moreMayWait || this.#free() < 1) return;
    if (!this.#journal.canRecord()) return;
    this.#claiming = this.#claim().finally(() => {
      this.#claiming = undefined;
      this.#pump();
    });
  }

  /** Slots that become free in the same turn of the event loop are filled by one claim. */
  #pumpSoon(): void {
    if (this.#pumpIsDue || !this.#moreMayWait) return;
    this.#pumpIsDue = true;
    setImmediate(() => {
      this.#pumpIsDue = false;
      this.#pump();
    });
  }

  #free(): number {
    return Math.min(
      this.#concurrency - this.#executing,
      2 * this.#concurrency - this.#attempts.size,
    );
  }

  async #claim(): Promise<void> {
    const limit = this.#free();
    this.#moreMayWait = false;
    try {
      const commands = await this.#transport.claim(limit);
      if (commands.length === limit) this.#moreMayWait = true;
      if (this.#draining) return await this.#giveBack(commands);
      for (const command of commands) this.#start(command);
    } catch (error) {
      // The next beat says whether work waits, and whether a claim's reply was lost.
      this.#log.warn({ err: error }, 'could not claim');
    }
  }

  #start(command: ClaimedCommand): void {
    const log = this.#log.child({ commandId: command.id, attempt: command.attempt });
    const attempt = new Attempt(command, log);
    // That it could be claimed anew shows that an attempt of it that still runs here is not ours.
    this.#attempts.get(command.id)?.abort('revoked');
    this.#attempts.set(command.id, attempt);
    this.#executing += 1;
    void this.#carryOut(attempt, log);
  }

  async #carryOut(attempt: Attempt, log: Logger): Promise<void> {
    const outcome = await attempt.run(this.#executors, this.#journal);
    this.#executing -= 1;
    this.#pumpSoon();
    const { id, type } = attempt.command;
    if (outcome) await this.#report(outcome, type, log);
    // A newer attempt of this command may have taken its place.
    if (this.#attempts.get(id) === attempt) this.#attempts.delete(id);
    this.#pumpSoon();
    this.#settleIdle();
  }

  async #report(outcome: Outcome, type: string, log: Logger): Promise<void> {
    const { report } = outcome;
    try {
      const answer = await this.#reporter.report(outcome);
      if (answer !== 'accepted') log.warn({ answer }, 'the report came too late');
      else if (report.outcome === 'completed') log.info({ type }, 'completed');
      else log.warn({ type, error: report.error }, report.outcome);
    } catch (error) {
      log.error({ err: error }, 'not reported');
    }
  }

  async #sayGoodbye(): Promise<boolean> {
    try {
      await this.#claiming;
      const left = [...this.#attempts.values()];
      this.#leaving = left;
      for (const attempt of left) attempt.abort('released');
      // What ended at the same moment has an outcome too: it is to be reported, not given back.
      await nextTurn();
      const unended = left.filter((attempt) => !attempt.hasOutcome);
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
