// Where agents that come over HTTP report what attempts came to. Reports of many share a statement.
//
// A result that its type's schema refuses fails the attempt, for good: the same would come again.

import type pg from 'pg';
import { finish, type Answer, type Report } from '../db/agents.ts';
import { Batcher } from '../db/batcher.ts';
import { finishForClients, type ClientReport } from '../db/client-claims.ts';
import { readCommandTypes } from '../db/command-types.ts';
import { typesOf } from '../db/commands.ts';
import type { Database } from '../db/connect.ts';
import { isUnstorable } from '../db/errors.ts';
import type { Logger } from '../runtime/log.ts';
import { Payloads } from './payloads.ts';
import { type Fault, Problem } from './problem.ts';
import { surely } from './surely.ts';

const MOST_A_STATEMENT = 100;
const MESSAGE_CHARACTERS = 2_000;

/** What became of a report, and what was wrong with its result. */
export interface Reported {
  answer: Answer;
  faults: Fault[];
}

export class ResultDesk {
  readonly #pool: pg.Pool;
  readonly #results: Payloads;
  readonly #reports: Batcher<ClientReport, Reported | Problem>;
  /** By command, the last report that is on its way. */
  readonly #onTheirWay = new Map<string, Promise<unknown>>();

  constructor({ pool, kysely }: Database, log: Logger) {
    this.#pool = pool;
    this.#results = new Payloads(() => readCommandTypes(kysely), log, 'result');
    this.#reports = new Batcher((reports) => this.#finishClients(reports), {
      maxItems: MOST_A_STATEMENT,
    });
  }

  /**
   * One report, of an agent that may know neither its session nor the attempt. Reports of one command
   * take turns: of two in one statement that contradict each other, both would count as accepted.
   *
   * @throws Problem 422 when it cannot be stored; or that the database is away.
   */
  async report(report: ClientReport): Promise<Reported> {
    const { id } = report;
    const earlier = this.#onTheirWay.get(id);
    const own = (earlier ?? Promise.resolve()).then(
      () => this.#reports.add(report),
      () => this.#reports.add(report),
    );
    this.#onTheirWay.set(id, own);
    try {
      const reported = await own;
      if (reported instanceof Problem) throw reported;
      return reported;
    } finally {
      if (this.#onTheirWay.get(id) === own) this.#onTheirWay.delete(id);
    }
  }

  /**
   * Reports of one session, all or nothing; answers in order.
   *
   * @throws Problem 422 when one of them cannot be stored; or that the database is away.
   */
  async reportAll(session: string, reports: Report[]): Promise<Answer[]> {
    const checked = await this.#check(reports);
    const sent = checked.map(({ report }) => report);
    return await storable(() => surely(() => finish(this.#pool, session, sent)));
  }

  async #finishClients(reports: ClientReport[]): Promise<(Reported | Problem)[]> {
    const checked = await this.#check(reports);
    const sent = checked.map(({ report }) => report);
    try {
      const answers = await storable(() => finishForClients(this.#pool, sent));
      return checked.map(({ faults }, i) => ({ answer: answers[i] ?? 'unknown', faults }));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (reports.length === 1) return [error];
      const outcomes: (Reported | Problem)[] = [];
      for (const report of reports) outcomes.push(...(await this.#finishClients([report])));
      return outcomes;
    }
  }

  /** The reports as they are to be sent: what its schema refuses has failed. */
  async #check<R extends Report | ClientReport>(reports: R[]): Promise<Checked<R>[]> {
    const completed = reports.filter(({ outcome }) => outcome === 'completed');
    if (completed.length === 0) return reports.map((report) => ({ report, faults: [] }));
    const types = await typesOf(
      this.#pool,
      completed.map(({ id }) => id),
    );
    await this.#results.look(new Set(types.values()));
    return reports.map((report) => {
      const type = types.get(report.id);
      if (!('result' in report) || type === undefined) return { report, faults: [] };
      const faults = this.#results.faults(type, report.result);
      return faults.length === 0 ? { report, faults } : { report: refuse(report, faults), faults };
    });
  }
}

interface Checked<R> {
  report: R;
  faults: Fault[];
}

function refuse<R extends Report | ClientReport>(report: R, faults: Fault[]): R {
  const message = faults.map(({ pointer, detail }) => `${pointer}: ${detail}`).join('; ');
  const error = {
    code: 'invalid_result',
    message: message.slice(0, MESSAGE_CHARACTERS).toWellFormed(),
    retryable: false,
  };
  return { ...report, outcome: 'failed', error, result: undefined } as unknown as R;
}

async function storable<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!isUnstorable(error)) throw error;
    const detail = 'The database cannot store this.';
    throw new Problem(422, 'unstorable_result', detail, {
      cause: error,
      errors: [{ pointer: '#', detail }],
    });
  }
}
