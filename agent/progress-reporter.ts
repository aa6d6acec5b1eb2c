// Brings what attempts say to the ledger: all of them in one statement, one statement at a time, at most
// one in 250 ms. While nobody says anything there is neither a statement nor a timer.
//
// What an attempt said is to be there before its outcome is. So what one that has ended still has to say
// goes without that pause; and its outcome waits for it, but not for long: a line that is lost is no
// disaster, a result that is late may be.

import type { AttemptKey, ProgressAnswer, ProgressReport } from '../db/agents.ts';
import { jitteredBackoffMs } from '../db/backoff.ts';
import type { Logger } from '../runtime/log.ts';
import { Transcript, type Budget } from './transcript.ts';
import { isAway, isUnstorable } from './transports/failures.ts';

const INTERVAL_MS = 250;

/** How long the outcome of an attempt waits for what it said. */
const PATIENCE_MS = 500;

/** For the many attempts that say nothing. */
const ALL_HEARD = Promise.resolve();

/** How many characters of lines may be kept for a database that is slow or away. */
const MOST_CHARACTERS = 2_097_152;

/** Answers in order; all or nothing when it throws. */
type Report = (reports: ProgressReport[]) => Promise<ProgressAnswer[]>;

export class ProgressReporter {
  readonly #report: Report;
  readonly #log: Logger;
  readonly #budget: Budget = { characters: MOST_CHARACTERS };
  /** Who has something to say. */
  readonly #speakers = new Set<Transcript>();
  readonly #onSaid = (transcript: Transcript) => {
    this.#speakers.add(transcript);
    this.#arm();
  };
  #timer: NodeJS.Timeout | undefined;
  #isSending = false;
  #isUrgent = false;
  #nextAtMs = 0;
  #failures = 0;
  #closed = false;

  constructor(report: Report, log: Logger) {
    this.#report = report;
    this.#log = log;
  }

  /** What an attempt of this session is to speak with. */
  open(key: AttemptKey): Transcript {
    return new Transcript(key, this.#budget, this.#onSaid);
  }

  /** Its attempt has ended. Resolves when the ledger has heard all that it said, or soon anyway. */
  end(transcript: Transcript): Promise<void> {
    transcript.end();
    return transcript.isQuiet ? ALL_HEARD : this.#untilHeard(transcript);
  }

  async #untilHeard(transcript: Transcript): Promise<void> {
    if (this.#speakers.has(transcript)) this.#isUrgent = true;
    this.#arm();
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(patience.resolve, PATIENCE_MS);
    await Promise.race([transcript.whenQuiet(), patience.promise]);
    clearTimeout(timer);
    this.#speakers.delete(transcript);
    transcript.forget();
  }

  /** Says nothing more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const transcript of this.#speakers) transcript.forget();
    this.#speakers.clear();
  }

  #arm(): void {
    if (this.#isSending || this.#closed || this.#speakers.size === 0) return;
    const isUrgent = this.#isUrgent && this.#failures === 0;
    if (this.#timer && !isUrgent) return;
    clearTimeout(this.#timer);
    const waitMs = isUrgent ? 0 : Math.max(0, this.#nextAtMs - performance.now());
    this.#timer = setTimeout(() => void this.#send(), waitMs);
  }

  async #send(): Promise<void> {
    this.#timer = undefined;
    this.#isSending = true;
    this.#isUrgent = false;
    this.#nextAtMs = performance.now() + INTERVAL_MS;
    const speakers = [...this.#speakers];
    this.#speakers.clear();
    await this.#say(speakers);
    this.#isSending = false;
    this.#arm();
  }

  /** Never rejects. */
  async #say(speakers: Transcript[]): Promise<void> {
    const reports = speakers.map((transcript) => transcript.take());
    try {
      const answers = await this.#reportStorable(reports);
      speakers.forEach((transcript, i) =>
        answers[i] === 'busy' ? this.#again(transcript) : transcript.heard(),
      );
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      this.#nextAtMs = performance.now() + Math.max(INTERVAL_MS, jitteredBackoffMs(this.#failures));
      const mayHelp = isAway(error);
      this.#log[mayHelp ? 'debug' : 'warn']({ err: error }, 'could not say how far attempts are');
      for (const transcript of speakers)
        if (mayHelp) this.#again(transcript);
        else transcript.heard();
    }
  }

  /** What the database cannot store (a character that its encoding lacks) is left out alone. */
  async #reportStorable(reports: ProgressReport[]): Promise<ProgressAnswer[]> {
    try {
      return await this.#report(reports);
    } catch (error) {
      if (!isUnstorable(error)) throw error;
      if (reports.length === 1) {
        this.#log.debug({ err: error }, 'the database cannot store what an attempt says');
        return ['accepted'];
      }
      const answers: ProgressAnswer[] = [];
      for (const report of reports) answers.push(...(await this.#reportStorable([report])));
      return answers;
    }
  }

  #again(transcript: Transcript): void {
    transcript.unheard();
    if (!transcript.isQuiet) this.#speakers.add(transcript);
  }
}
