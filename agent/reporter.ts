// Brings outcomes to the journal, and from there to the ledger: in batches, again and again until the
// ledger has answered.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Report } from '../db/agents.ts';
import { jitteredBackoffMs } from '../db/backoff.ts';
import { Batcher } from '../db/batcher.ts';
import type { Logger } from '../runtime/log.ts';
import type { Outcome } from './journal-file.ts';
import type { Journal } from './journal.ts';
import { isTooMuch, isUnstorable } from './transports/failures.ts';

const MAX_BATCH = 500;

/** Answers in order; all or nothing when it throws. */
type Finish = (reports: Report[]) => Promise<Answer[]>;

export interface ReporterOptions {
  journal: Pick<Journal, 'record' | 'acknowledge'>;
  finish: Finish;
  log: Logger;
}

/** Reports in bulk, for as long as it takes. */
export class Reporter {
  readonly #options: ReporterOptions;
  readonly #giveUp = new AbortController();
  readonly #batcher = new Batcher<Report, Answer>((reports) => this.#send(reports), {
    maxItems: MAX_BATCH,
  });

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the ledger has answered; rejects only after `giveUp`. `before` never rejects: what the
   * ledger should hear first.
   */
  async report(outcome: Outcome, before?: Promise<void>): Promise<Answer> {
    const { journal } = this.#options;
    const receipt = await journal.record(outcome);
    await before;
    const answer = await this.#batcher.add(outcome.report);
    journal.acknowledge(receipt);
    return answer;
  }

  /** Stops trying: what is not reported by now is left to the journal. */
  giveUp(): void {
    this.#giveUp.abort();
  }

  async #send(reports: Report[]): Promise<Answer[]> {
    const { finish, log } = this.#options;
    for (let failures = 1; ; failures += 1) {
      try {
        return await finishStorable(finish, reports, log);
      } catch (error) {
        if (reports.length > 1 && isTooMuch(error)) return await this.#sendHalves(reports);
        log.warn({ err: error, reports: reports.length }, 'could not report; trying again');
        await sleep(jitteredBackoffMs(failures), undefined, { signal: this.#giveUp.signal });
      }
    }
  }

  async #sendHalves(reports: Report[]): Promise<Answer[]> {
    const half = Math.ceil(reports.length / 2);
    const first = await this.#send(reports.slice(0, half));
    return [...first, ...(await this.#send(reports.slice(half)))];
  }
}

/**
 * Reports once. What the ledger cannot store is found by reporting halves of halves, and fails alone, as
 * `unstorable_result`.
 *
 * @throws what `finish` throws when the reports are not at fault: some may have been taken then, and
 *   repeating them changes nothing.
 */
export async function finishStorable(
  finish: Finish,
  reports: Report[],
  log: Logger,
): Promise<Answer[]> {
  try {
    return await finish(reports);
  } catch (error) {
    if (!isUnstorable(error)) throw error;
    const [only] = reports;
    if (only && reports.length === 1) return [await finishUnstorable(finish, only, error, log)];
    const half = Math.ceil(reports.length / 2);
    const first = await finishStorable(finish, reports.slice(0, half), log);
    return [...first, ...(await finishStorable(finish, reports.slice(half), log))];
  }
}

async function finishUnstorable(
  finish: Finish,
  { id, attempt }: Report,
  cause: unknown,
  log: Logger,
): Promise<Answer> {
  const message = `the ledger cannot store the result: ${(cause as Error).message}`;
  const error = { code: 'unstorable_result', message, retryable: false };
  try {
    const [answer = 'unknown'] = await finish([{ id, attempt, outcome: 'failed', error }]);
    return answer;
  } catch (again) {
    if (!isUnstorable(again)) throw again;
    // The failure itself is refused: trying again would not help, and must not hold up the others.
    log.error({ err: again, commandId: id, attempt }, 'the ledger refuses any outcome');
    return 'unknown';
  }
}
