// Fifty who submit, claim, report, give back, supersede, promote, recover and cancel at random; then
// everything is brought to an end, and judged by what the cancellers were answered.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { finish, registerAgent, release, type AttemptKey, type Report } from '../../db/agents.ts';
import { connect, type Database } from '../../db/connect.ts';
import type { ClaimedCommand } from '../../db/claim.ts';
import { tick } from '../../db/recovery.ts';
import { cancelCommands, item, submitBatch } from './batches.ts';
import { startSession, SUBSCRIPTION, type Session } from './session.ts';

const SUBMITTERS = 8;
const CANCELLERS = 18;
const SESSIONS = 8;
const MOST_LIVE = 300;
const SETTLE_WITHIN_MS = 15_000;

export interface Verdict {
  violations: string[];
  answers: { [answer: string]: number };
}

export async function melee(
  database: Database & { url: string },
  { seconds }: { seconds: number },
): Promise<Verdict> {
  const wide = connect(database.url, { applicationName: 'test', max: 40 });
  const all = new Melee(wide, seconds * 1_000);
  const sessions = await Promise.all(
    Array.from({ length: SESSIONS }, (_, i) => startSession(database, `melee-${i}`)),
  );
  await Promise.all([
    ...Array.from({ length: SUBMITTERS }, () => all.submit()),
    ...Array.from({ length: CANCELLERS }, () => all.cancel()),
    ...sessions.flatMap((session) => [all.execute(session), all.execute(session)]),
    ...sessions.slice(0, 2).map((session) => all.supersede(session)),
    ...Array.from({ length: 3 }, () => all.tick()),
    ...Array.from({ length: 3 }, () => all.recover()),
  ]);
  for (const session of sessions) await session[Symbol.asyncDispose]();
  for (let i = 0; i < SESSIONS; i += 1) await all.superseded(`melee-${i}`);
  await all.settle(database);
  await all.judge();
  await wide.close();
  return all;
}

class Melee implements Verdict {
  readonly violations: string[] = [];
  readonly answers: { [answer: string]: number } = {};
  readonly #database: Database;
  readonly #overAt: number;
  readonly #ids: string[] = [];
  readonly #answered = new Map<string, Set<string>>();
  readonly #cancelledAt = new Map<string, number>();
  #ended = 0;

  constructor(database: Database, forMs: number) {
    this.#database = database;
    this.#overAt = performance.now() + forMs;
  }

  async #repeatedly(act: () => Promise<unknown>, mostMs: number): Promise<void> {
    while (performance.now() < this.#overAt) {
      await act();
      await sleep(mostMs * Math.random());
    }
  }

  submit(): Promise<void> {
    return this.#repeatedly(async () => {
      if (this.#ids.length - this.#ended > MOST_LIVE) return;
      const batch = Array.from({ length: 5 }, () =>
        item({
          backoff: { initialMs: 5 },
          ...(Math.random() < 0.3 && { delayMs: Math.round(20 * Math.random()) }),
          ...(Math.random() < 0.3 && { concurrencyKey: `key ${Math.round(3 * Math.random())}` }),
        }),
      );
      this.#ids.push(...batch.map(({ id }) => id));
      await submitBatch(this.#database.pool, batch);
    }, 20);
  }

  cancel(): Promise<void> {
    return this.#repeatedly(async () => {
      const recent = this.#ids.slice(-150);
      const some = recent.filter(() => Math.random() < 4 / recent.length);
      const answers = await cancelCommands(this.#database.pool, some);
      const now = performance.now();
      some.forEach((id, i) => {
        const answer = answers[i] ?? '';
        this.#answered.set(id, (this.#answered.get(id) ?? new Set()).add(answer));
        if (answer === 'cancelled') this.#cancelledAt.set(id, now);
      });
    }, 30);
  }

  execute(session: Session): Promise<void> {
    return this.#repeatedly(async () => {
      const claimed = await this.#claim(session);
      await sleep(5 * Math.random());
      await session.beat(claimed, 0);
      await this.#report(session, claimed);
    }, 10);
  }

  async #claim(session: Session): Promise<ClaimedCommand[]> {
    const askedAt = performance.now();
    const claimed = await session.claim(4);
    for (const { id } of claimed)
      if ((this.#cancelledAt.get(id) ?? Infinity) < askedAt)
        this.violations.push(`${id} was claimed after it was cancelled`);
    return claimed;
  }

  async #report({ session }: Session, claimed: ClaimedCommand[]): Promise<void> {
    const returned: AttemptKey[] = [];
    const reports: Report[] = [];
    for (const { id, attempt, cancelRequested } of claimed) {
      const fate = Math.random();
      if (fate < 0.15) returned.push({ id, attempt });
      else if (cancelRequested || fate < 0.3) reports.push(ended(id, attempt, 'cancelled'));
      else if (fate < 0.5) reports.push(ended(id, attempt, 'failed'));
      else reports.push({ id, attempt, outcome: 'completed', result: {} });
    }
    await finish(this.#database.pool, session, reports);
    await release(this.#database.pool, session, returned);
  }

  /** Another process of the same agent, again and again: what the first one runs is lost. */
  supersede({ agentId }: Session): Promise<void> {
    return this.#repeatedly(() => this.superseded(agentId), 300);
  }

  async superseded(agentId: string): Promise<void> {
    const info = { concurrency: 1, host: 'test', pid: 1, version: '0', ...SUBSCRIPTION };
    await registerAgent(this.#database.pool, { agentId, session: randomUUID() }, info);
  }

  tick(): Promise<void> {
    return this.#repeatedly(() => tick(this.#database.pool), 30);
  }

  recover(): Promise<void> {
    return this.#repeatedly(async () => {
      await this.#database.pool.query('select executor.recover(), executor.promote()');
      this.#ended = this.#ids.length - (await this.#countLive());
    }, 20);
  }

  async #countLive(): Promise<number> {
    const { rows } = await this.#database.pool.query<{ live: number }>(
      'select count(*)::int as live from executor.commands where finished_at is null',
    );
    return rows[0]?.live ?? NaN;
  }

  /** One agent that does as it is told, until nothing is left. */
  async settle(database: Database & { url: string }): Promise<void> {
    await using session = await startSession(database);
    const deadline = performance.now() + SETTLE_WITHIN_MS;
    while ((await this.#countLive()) > 0) {
      if (performance.now() > deadline) {
        this.violations.push('not everything came to an end');
        return;
      }
      const claimed = await session.claim(100);
      const cancelled = claimed.filter(({ cancelRequested }) => cancelRequested);
      await session.report(cancelled, 'cancelled');
      await session.complete(claimed.filter(({ cancelRequested }) => !cancelRequested));
      await tick(database.pool);
    }
  }

  async judge(): Promise<void> {
    const { rows } = await this.#database.pool.query<{ id: string; status: string }>(
      'select id, status::text from executor.commands',
    );
    const statuses = new Map(rows.map(({ id, status }) => [id, status]));
    const expected = {
      cancelled: /^CANCELLED$/,
      requested: /^(CANCELLED|COMPLETED)$/,
      done: /^(CANCELLED|COMPLETED|FAILED)$/,
      // It was on its way in.
      unknown: /./,
    };
    for (const [id, answers] of this.#answered)
      for (const [answer, pattern] of Object.entries(expected)) {
        if (!answers.has(answer)) continue;
        this.answers[answer] = (this.answers[answer] ?? 0) + 1;
        const status = statuses.get(id) ?? 'not there';
        if (!pattern.test(status)) this.violations.push(`${id}: ${answer}, but it is ${status}`);
      }
  }
}

function ended(id: string, attempt: number, outcome: 'failed' | 'cancelled'): Report {
  return { id, attempt, outcome, error: { code: 'x', message: 'no luck', retryable: true } };
}
