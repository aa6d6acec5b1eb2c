// What one attempt says while it runs, until the ledger has heard it.
//
// Executors may say anything, as often as they like: nothing here throws or waits, and what is kept is
// bounded. Of progress only the newest counts. Lines are numbered as they come; an attempt has 1,000 of
// them, and when the database is away for long, fewer: a line says how many were left out.

import type { AttemptKey, ProgressReport } from '../db/agents.ts';
import { boundedText, describeError } from './executors/describe-error.ts';
import type { Voice } from './executors/executor.ts';

const MOST_LINES = 1_000;
const LINE_CHARACTERS = 2_000;
const MESSAGE_CHARACTERS = 500;

/** What a line costs beside its characters. */
const LINE_OVERHEAD = 100;

/** How many characters of lines all attempts of an agent may still keep. */
export interface Budget {
  characters: number;
}

/** As the executor said it: looked at when it is taken, since most of it never is. */
interface Progress {
  share: unknown;
  message: unknown;
}

interface Said {
  progress?: Progress | undefined;
  lines: { no: number; line: string }[];
}

export class Transcript {
  /** What its executor speaks with. */
  readonly voice: Voice = {
    progress: (share, message) => this.#progress(share, message),
    print: (line) => this.#print(line),
  };
  readonly #key: AttemptKey;
  readonly #budget: Budget;
  readonly #onSaid: (transcript: Transcript) => void;
  #unsaid: Said = { lines: [] };
  /** On its way to the ledger. */
  #underway: Said | undefined;
  #lineNo = 0;
  #leftOut = 0;
  #ended = false;
  #forgotten = false;
  #quiet: PromiseWithResolvers<void> | undefined;

  /** `onSaid` is called whenever there is something to take. */
  constructor(key: AttemptKey, budget: Budget, onSaid: (transcript: Transcript) => void) {
    this.#key = key;
    this.#budget = budget;
    this.#onSaid = onSaid;
  }

  /** Whether the ledger has heard all of it. */
  get isQuiet(): boolean {
    return !this.#underway && !this.#hasUnsaid;
  }

  /** Resolves once the ledger has heard all of it, or it was forgotten. */
  whenQuiet(): Promise<void> {
    this.#quiet ??= Promise.withResolvers();
    this.#settle();
    return this.#quiet.promise;
  }

  /** From now on its executor speaks to nobody. */
  end(): void {
    if (this.#ended) return;
    this.#admitLeftOut();
    this.#ended = true;
  }

  /** Answers what is to be said next; `heard` or `unheard` must follow. */
  take(): ProgressReport {
    this.#underway = this.#unsaid;
    this.#unsaid = { lines: [] };
    const { progress, lines } = this.#underway;
    if (!progress) return { ...this.#key, lines };
    const { share, message } = progress;
    return { ...this.#key, progress: toShare(share), message: toMessage(message), lines };
  }

  /** The ledger has what was taken, or will never have it. */
  heard(): void {
    this.#release(this.#underway);
    this.#underway = undefined;
    this.#settle();
  }

  /** What was taken did not reach the ledger: it is to be said again. */
  unheard(): void {
    if (this.#forgotten || !this.#underway) return this.heard();
    const { progress, lines } = this.#underway;
    this.#underway = undefined;
    this.#unsaid.progress ??= progress;
    this.#unsaid.lines.unshift(...lines);
  }

  /** Drops what the ledger has yet to hear, for good. */
  forget(): void {
    this.#ended = true;
    this.#forgotten = true;
    this.#release(this.#unsaid);
    this.#unsaid = { lines: [] };
    this.#settle();
  }

  get #hasUnsaid(): boolean {
    return this.#unsaid.progress !== undefined || this.#unsaid.lines.length > 0;
  }

  #progress(share: unknown, message: unknown): void {
    if (this.#ended) return;
    this.#unsaid.progress = { share, message: withoutExcess(message) };
    this.#onSaid(this);
  }

  #print(value: unknown): void {
    if (this.#ended || this.#lineNo >= MOST_LINES) return;
    if (this.#budget.characters < LINE_CHARACTERS + LINE_OVERHEAD) {
      this.#leftOut += 1;
      return;
    }
    this.#admitLeftOut();
    this.#add(toText(value, LINE_CHARACTERS));
  }

  #admitLeftOut(): void {
    if (this.#leftOut === 0) return;
    const count = this.#leftOut;
    this.#leftOut = 0;
    this.#add(`… ${count} ${count === 1 ? 'line was' : 'lines were'} left out`);
  }

  #add(line: string): void {
    if (this.#lineNo >= MOST_LINES) return;
    this.#lineNo += 1;
    const isLast = this.#lineNo === MOST_LINES;
    const kept = isLast ? '… this line and whatever came after it was left out' : line;
    this.#unsaid.lines.push({ no: this.#lineNo, line: kept });
    this.#budget.characters -= kept.length + LINE_OVERHEAD;
    this.#onSaid(this);
  }

  #release(said: Said | undefined): void {
    for (const { line } of said?.lines ?? []) {
      this.#budget.characters += line.length + LINE_OVERHEAD;
    }
  }

  #settle(): void {
    if (this.isQuiet) this.#quiet?.resolve();
  }
}

/** From 0 to 1; null for what is no number. */
function toShare(share: unknown): number | null {
  if (typeof share !== 'number' || Number.isNaN(share)) return null;
  return Math.min(Math.max(share, 0), 1);
}

function toMessage(message: unknown): string | null {
  return message === undefined || message === null ? null : toText(message, MESSAGE_CHARACTERS);
}

function withoutExcess(message: unknown): unknown {
  if (typeof message !== 'string' || message.length <= MESSAGE_CHARACTERS) return message;
  return toText(message, MESSAGE_CHARACTERS);
}

/** A copy: a part of a string keeps the whole of it in memory. */
function toText(value: unknown, maxCharacters: number): string {
  const text = typeof value === 'string' ? value : describeError(value);
  return Buffer.from(boundedText(text, maxCharacters)).toString();
}
