// Brings outcomes to the ledger: in batches, again and again until the ledger has answered.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Report } from '../db/agents.ts';
import { jitteredBackoffMs } from '../db/backoff.ts';
import { Batcher } from '../db/batcher.ts';
import { isUnstorable } from '../db/errors.ts';
import type { Logger } from '../runtime/log.ts';

const MAX_BATCH = 500;

/** Reports in bulk; a report that the ledger cannot store fails alone, as `unstorable_result`. */
export class Reporter {
  readonly #finish: (reports: Report[]) => Promise<Answer[]>;
  readonly #log: Logger;
  readonly #giveUp = new AbortController();
  readonly #batcher = new Batcher<Report, Answer>((reports) => this.#send(reports), {
    maxItems: MAX_BATCH,
  });

  constructor(finish: (reports: Report[]) => Promise<Answer[]>, log: Logger) {
    this.#finish = finish;
    this.#log = log;
  }

  /** Resolves when the ledger has answered; rejects only after `giveUp`. */
  report(report: Report): Promise<Answer> {
    return this.#batcher.add(report);
  }

  /** Stops trying: what is not reported by now stays so. */
  giveUp(): void {
    this.#giveUp.abort();
  }

  async #send(reports: Report[]): Promise<Answer[]> {
    for (let failures = 1; ; failures += 1) {
      try {
        return await this.#finish(reports);
      } catch (error) {
        if (isUnstorable(error)) return await this.#oneByOne(reports, error as Error);
        this.#log.warn({ err: error, reports: reports.length }, 'could not report; trying again');
        await sleep(jitteredBackoffMs(failures), undefined, { signal: this.#giveUp.signal });
      }
    }
  }

  async #oneByOne(reports: Report[], error: Error): Promise<Answer[]> {
    const [only] = reports;
    if (only && reports.length === 1) {
      // Twice unstorable: the failure itself is at fault, and trying again would not help.
      if (only.outcome === 'failed' && only.error.code === 'unstorable_result') throw error;
      return await this.#send([unstorable(only, error)]);
    }
    const answers: Answer[] = [];
    for (const report of reports) answers.push(...(await this.#send([report])));
    return answers;
  }
}

function unstorable({ id, attempt }: Report, error: Error): Report {
  const message = `the database cannot store the result: ${error.message}`;
  return {
    id,
    attempt,
    outcome: 'failed',
    error: { code: 'unstorable_result', message, retryable: false },
  };
}
