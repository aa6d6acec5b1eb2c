// Fifty who submit, execute, cancel and tick at random, on a few concurrency keys; and an observer that
// knows nothing but what they did and heard, and when.
//
// Two executions of a key may never overlap: from when a claim was answered to when its outcome was sent.
// And of what was acknowledged before the execution before was over, the best is the next: the higher
// priority, then the earlier. (Deferred ones are left out: when they were ready nobody told.)

import { setTimeout as sleep } from 'node:timers/promises';
import { finish, release } from '../../db/agents.ts';
import type { ClaimedCommand } from '../../db/claim.ts';
import { connect, type Database } from '../../db/connect.ts';
import { tick } from '../../db/recovery.ts';
import { item, submitBatch } from './batches.ts';
import { startSession, type Session } from './session.ts';

const KEYS = 5;
const SUBMITTERS = 12;
const SESSIONS = 8;
const EXECUTORS_A_SESSION = 3;
const CANCELLERS = 10;
const TICKERS = 4;
const MOST_UNFINISHED = 120;

interface Played {
  id: string;
  key: string;
  priority: number;
  isDeferred: boolean;
  acknowledgedAt: number;
  startedAt: number;
  cancelledAt: number;
}

interface Execution {
  id: string;
  startedAt: number;
  sentAt: number;
}

export interface Verdict {
  violations: string[];
  commands: number;
  executions: number;
}

/** Plays for so long, until everything is done. */
export async function play(
  database: Database & { url: string },
  options: { seconds: number },
): Promise<Verdict> {
  const wide = connect(database.url, { applicationName: 'test', max: 30 });
  const game = new Game(wide, options.seconds * 1_000);
  const sessions = await Promise.all(
    Array.from({ length: SESSIONS }, () => startSession(database)),
  );
  await Promise.all([
    ...times(SUBMITTERS, () => game.submitSome()),
    ...times(CANCELLERS, () => game.cancelOne()),
    ...times(TICKERS, () => game.tick()),
    ...sessions.flatMap((session) => times(EXECUTORS_A_SESSION, () => game.execute(session))),
  ]);
  for (const session of sessions) await session[Symbol.asyncDispose]();
  await game.judgeOrder();
  await wide.close();
  const executions = [...game.executions.values()].flat().length;
  return { violations: game.violations, commands: game.played.size, executions };
}

class Game {
  readonly violations: string[] = [];
  readonly played = new Map<string, Played>();
  /** Of each key, in the order in which they began. */
  readonly executions = new Map<string, Execution[]>();
  readonly #database: Database;
  readonly #overAt: number;
  #unfinished = 0;

  constructor(database: Database, forMs: number) {
    this.#database = database;
    this.#overAt = performance.now() + forMs;
  }

  get #isOver(): boolean {
    return performance.now() > this.#overAt;
  }

  async submitSome(): Promise<void> {
    while (!this.#isOver) {
      await sleep(between(1, 40));
      if (this.#unfinished > MOST_UNFINISHED) continue;
      const batch = times(between(1, 6), () => {
        const isDeferred = chance(0.2);
        const key = `key ${between(1, KEYS)}`;
        const priority = chance(0.3) ? between(-1, 1) : 0;
        const backoff = { initialMs: between(0, 20) };
        const one = item({ concurrencyKey: key, priority, backoff });
        const never = { acknowledgedAt: Infinity, startedAt: Infinity, cancelledAt: Infinity };
        this.played.set(one.id, { id: one.id, key, priority, isDeferred, ...never });
        return { ...one, ...(isDeferred && { delayMs: between(1, 60) }) };
      });
      this.#unfinished += batch.length;
      await submitBatch(this.#database.pool, batch);
      const now = performance.now();
      for (const { id } of batch) this.#of(id).acknowledgedAt = now;
    }
  }

  async execute(session: Session): Promise<void> {
    while (!this.#isOver || this.#unfinished > 0) {
      const claimed = await session.claim(between(1, 3));
      await Promise.all(claimed.map((command) => this.#executeOne(session, command)));
      if (claimed.length === 0) await sleep(between(1, 20));
      if (performance.now() > this.#overAt + 15_000) return;
    }
  }

  async #executeOne(session: Session, command: ClaimedCommand): Promise<void> {
    const execution = this.#begin(command.id);
    if (command.cancelRequested) return await this.#send(session, execution, command, 'cancelled');
    await sleep(between(0, 4));
    const fate = Math.random();
    if (fate < 0.1) {
      execution.sentAt = performance.now();
      await release(this.#database.pool, session.session, [command]);
    } else if (fate < 0.3) await this.#send(session, execution, command, 'failed', fate < 0.2);
    else if (fate < 0.35) await this.#send(session, execution, command, 'cancelled');
    else await this.#send(session, execution, command, 'completed');
  }

  async #send(
    { session }: Session,
    execution: Execution,
    { id, attempt }: ClaimedCommand,
    outcome: 'completed' | 'failed' | 'cancelled',
    retryable = true,
  ): Promise<void> {
    const error = { code: 'executor_error', message: 'no luck', retryable };
    execution.sentAt = Math.min(execution.sentAt, performance.now());
    const { pool } = this.#database;
    await (outcome === 'completed'
      ? finish(pool, session, [{ id, attempt, outcome, result: {} }])
      : finish(pool, session, [{ id, attempt, outcome, error }]));
    await this.#count();
  }

  async cancelOne(): Promise<void> {
    while (!this.#isOver) {
      await sleep(between(5, 60));
      const ids = times(between(1, 3), () => pick([...this.played.keys()].slice(-60)));
      const now = performance.now();
      for (const id of ids)
        if (id) this.#of(id).cancelledAt = Math.min(now, this.#of(id).cancelledAt);
      await this.#database.pool.query('select executor.cancel_commands($1)', [ids.filter(Boolean)]);
      await this.#count();
    }
  }

  async tick(): Promise<void> {
    while (!this.#isOver || this.#unfinished > 0) {
      await tick(this.#database.pool);
      await this.#watch();
      await this.#count();
      await sleep(between(1, 60));
      if (performance.now() > this.#overAt + 15_000) {
        this.violations.push(`${this.#unfinished} commands are not done after 15 s`);
        return;
      }
    }
  }

  #begin(id: string): Execution {
    const command = this.#of(id);
    const startedAt = performance.now();
    const before = this.executions.get(command.key) ?? [];
    this.executions.set(command.key, before);
    const last = before.at(-1);
    if (last && last.sentAt > startedAt)
      this.violations.push(`${command.key}: ${id} began while ${last.id} was not over`);
    command.startedAt = Math.min(startedAt, command.startedAt);
    const execution = { id, startedAt, sentAt: Infinity };
    before.push(execution);
    return execution;
  }

  async judgeOrder(): Promise<void> {
    const { rows } = await this.#database.pool.query<{ id: string; place: string }>(
      `select id, to_char(created_at, 'YYYY-MM-DD HH24:MI:SS.US') as place from executor.commands`,
    );
    const places = new Map(rows.map(({ id, place }) => [id, place]));
    const rank = ({ id, priority }: Played) =>
      `${String(100 - priority).padStart(3)} ${places.get(id) ?? ''}`;
    for (const [key, executions] of this.executions)
      for (const [i, { id, startedAt }] of executions.entries()) {
        const before = executions[i - 1];
        const next = this.#of(id);
        if (!before || before.id === id || startedAt > next.startedAt || next.isDeferred) continue;
        const better = [...this.played.values()].find(
          (other) =>
            other.key === key &&
            !other.isDeferred &&
            other.acknowledgedAt < before.sentAt &&
            other.startedAt > startedAt &&
            other.cancelledAt === Infinity &&
            rank(other) < rank(next),
        );
        if (better) this.violations.push(`${key}: ${id} began before ${better.id}`);
      }
  }

  #of(id: string): Played {
    const played = this.played.get(id);
    if (!played) throw new Error(`nobody submitted ${id}`);
    return played;
  }

  async #watch(): Promise<void> {
    const { rows } = await this.#database.pool.query<{ invariant: string; violations: string }>(
      `select invariant, violations from executor.invariants
       where violations <> 0 and invariant in ('K1', 'K2', 'I14')`,
    );
    for (const { invariant, violations } of rows)
      this.violations.push(`${invariant}: ${violations} violations`);
  }

  async #count(): Promise<void> {
    const { rows } = await this.#database.pool.query<{ count: number }>(
      `select count(*)::int as count from executor.commands where finished_at is null`,
    );
    this.#unfinished = rows[0]?.count ?? 0;
  }
}

function times<T>(count: number, make: () => T): T[] {
  return Array.from({ length: count }, make);
}

function between(least: number, most: number): number {
  return least + Math.floor(Math.random() * (most - least + 1));
}

function chance(probability: number): boolean {
  return Math.random() < probability;
}

function pick<T>(items: readonly T[]): T | undefined {
  return items[Math.floor(Math.random() * items.length)];
}
