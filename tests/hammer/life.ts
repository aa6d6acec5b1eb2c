// One agent process's life, without the process: it registers, claims, executes, reports and beats, all
// at once, until it crashes, says goodbye or is superseded.

import { randomUUID } from 'node:crypto';
import { registerAgent, signOff, type AttemptKey, type Subscription } from '../../db/agents.ts';
import { Batcher } from '../../db/batcher.ts';
import { claim, type ClaimedCommand } from '../../db/claim.ts';
import { beatOnce } from './beats.ts';
import { guard } from './connections.ts';
import { execute } from './executions.ts';
import { Lifeline } from './lifeline.ts';
import { sendPerhapsTwice, type SessionReport } from './reports.ts';
import { pause, strikes, type Stage } from './stage.ts';

const CONCURRENCY = 20;

export class Life {
  readonly stage: Stage;
  readonly agentId: string;
  readonly subscription: Subscription;
  readonly session = randomUUID();
  readonly lifeline: Lifeline;
  readonly reports: Batcher<SessionReport, string>;
  /** What it runs or has yet to report, by `id/attempt`. */
  readonly running = new Map<string, AttemptKey>();
  /** What it has heard that somebody wants cancelled. */
  readonly cancelled = new Set<string>();
  over = false;
  #frozenUntil = 0;
  #claimNo = 0;
  readonly #outstanding = new Set<number>();
  readonly #doings = new Set<Promise<unknown>>();

  constructor(stage: Stage, agentId: string, subscription: Subscription) {
    this.stage = stage;
    this.agentId = agentId;
    this.subscription = subscription;
    this.lifeline = new Lifeline(stage.url, this);
    this.reports = new Batcher((reports) => sendPerhapsTwice(stage, reports), { maxItems: 50 });
  }

  /** The highest claim number below which no claim's reply is outstanding. */
  get settledClaimNo(): number {
    return Math.min(this.#claimNo, ...[...this.#outstanding].map((claimNo) => claimNo - 1));
  }

  async live(): Promise<void> {
    const { record, connections } = this.stage;
    const info = {
      concurrency: CONCURRENCY,
      host: 'hammer',
      pid: 1,
      version: '0',
      ...this.subscription,
    };
    const register = () => registerAgent(connections.work.pool, this, info);
    while (!this.stage.over && (await guard(record, 'register', register)) === undefined);
    await Promise.all([this.#beats(), this.#claims()]);
    while (this.#doings.size > 0) await Promise.all(this.#doings);
    this.lifeline.cut();
  }

  /** Ends without a word, as a killed process does. */
  crash(how: string): void {
    if (this.over) return;
    this.over = true;
    this.stage.record.count(how);
    for (const { id } of this.running.values())
      this.stage.record.note(id, `${this.agentId} ${this.session} ${how}`);
    this.lifeline.cut();
  }

  freeze(forMs: number): void {
    this.stage.record.count('frozen');
    this.#frozenUntil = performance.now() + forMs;
  }

  /** Where a frozen process stands still: before each of its steps. */
  async thaw(): Promise<void> {
    while (performance.now() < this.#frozenUntil && !this.stage.over)
      await pause(this.stage, 5, 20);
  }

  /** A clean goodbye, with all it implies: whatever it still runs is given back. */
  async signOff(): Promise<void> {
    const { record, connections } = this.stage;
    this.over = true;
    record.count('signed off');
    await guard(record, 'sign off', () => signOff(connections.work.pool, this));
  }

  async #beats(): Promise<void> {
    while (!this.over && !this.stage.over) {
      await this.thaw();
      await beatOnce(this);
      await pause(this.stage, 30, 110);
    }
    this.over = true;
  }

  async #claims(): Promise<void> {
    while (!this.over) {
      await this.thaw();
      const limit = Math.min(this.stage.random.between(1, 20), CONCURRENCY - this.running.size);
      const claimed = limit > 0 && !this.over ? await this.#claim(limit) : 0;
      if (claimed === 0) await pause(this.stage, 5, 40);
    }
  }

  async #claim(limit: number): Promise<number> {
    const { connections, record } = this.stage;
    const claimNo = ++this.#claimNo;
    this.#outstanding.add(claimNo);
    const { agentId, session } = this;
    const wanted = { ...this.subscription, limit, agentId, session, claimNo };
    const commands = await guard(record, 'claim', () => claim(connections.claims.pool, wanted));
    for (const command of commands ?? []) {
      record.handOut(command, this);
      const { queue = 'default' } = record.submitted.get(command.id) ?? {};
      if (
        !this.subscription.queues.includes(queue) ||
        !this.subscription.types.includes(command.type)
      )
        record.violation(`${agentId} claimed ${command.type} of queue ${queue}`, command.id);
    }
    if (commands && strikes(this.stage, 0.05)) {
      record.count('late claim replies');
      this.#do(pause(this.stage, 20, 300).then(() => this.#receive(claimNo, commands)));
    } else await this.#receive(claimNo, commands ?? []);
    return commands?.length ?? 0;
  }

  async #receive(claimNo: number, commands: ClaimedCommand[]): Promise<void> {
    await this.thaw();
    const isLost = this.over || strikes(this.stage, 0.05);
    if (isLost) for (const { id } of commands) this.stage.record.note(id, 'the reply was lost');
    else for (const command of commands) this.#do(execute(this, command));
    this.#outstanding.delete(claimNo);
  }

  #do(doing: Promise<unknown>): void {
    const done = doing.finally(() => this.#doings.delete(done));
    this.#doings.add(done);
  }
}
