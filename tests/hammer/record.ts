// What the hammer itself knows: what was acknowledged, handed out, executed and accepted. Whatever
// contradicts the ledger's promises is a violation, and the first one ends the run.

import type { AttemptKey } from '../../db/agents.ts';

export interface Spec {
  id: string;
  delivery: 'at_least_once' | 'at_most_once';
  concurrencyKey?: string;
  idempotencyKey?: string;
  queue?: string;
  target?: { agentId: string };
  [option: string]: unknown;
}

export interface HandedOut {
  id: string;
  attempt: number;
  agentId: string;
  session: string;
}

/** How an attempt ended, according to an answer `accepted`. `result` only of completions. */
export interface Accepted {
  id: string;
  attempt: number;
  session: string;
  outcome: string;
  result?: unknown;
}

/** What an executor saw of its attempt: from the claim's answer to when the outcome was first sent. */
export interface Execution {
  id: string;
  startedAtMs: number;
  sentAtMs: number;
}

const MOST_VIOLATIONS = 20;

export class Record {
  readonly submitted = new Map<string, Spec>();
  readonly acknowledged = new Set<string>();
  readonly handedOut = new Map<string, HandedOut>();
  readonly executed = new Map<string, number>();
  readonly accepted = new Map<string, Accepted>();
  readonly executions = new Map<string, Execution>();
  /** What those who cancelled a command were answered. */
  readonly cancelled = new Map<string, Set<string>>();
  /** The commands that an idempotency key was answered with. */
  readonly idempotent = new Map<string, Set<string>>();
  /** How many lines of an attempt's log were accepted. */
  readonly lines = new Map<string, number>();
  /** Commands whose ticket was forged or torn out by hand: repair has to mend these, and only these. */
  readonly forged = new Set<string>();
  readonly violations: { text: string; ids: string[] }[] = [];
  readonly counts = new Map<string, number>();
  readonly #unjudged: Accepted[] = [];
  readonly #history = new Map<string, string[]>();
  readonly #startedAt = performance.now();
  readonly #failed = new AbortController();

  /** Aborted at the first violation. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  get elapsedMs(): number {
    return Math.round(performance.now() - this.#startedAt);
  }

  violation(text: string, ...ids: string[]): void {
    if (this.violations.length < MOST_VIOLATIONS)
      this.violations.push({ text: `after ${this.elapsedMs} ms: ${text}`, ids });
    this.#failed.abort();
  }

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }

  /** Adds a line to a command's history, which is printed when it turns out to be an offender. */
  note(id: string, text: string): void {
    const lines = this.#history.get(id) ?? [];
    this.#history.set(id, lines);
    lines.push(`${String(this.elapsedMs).padStart(6)} ms  ${text}`);
  }

  history(id: string): string[] {
    return this.#history.get(id) ?? [];
  }

  submit(spec: Spec): void {
    const { id, ...rest } = spec;
    this.submitted.set(id, spec);
    this.note(id, `submitted ${JSON.stringify(rest)}`);
  }

  handOut(command: AttemptKey, owner: { agentId: string; session: string }): void {
    const { target } = this.submitted.get(command.id) ?? {};
    if (target && target.agentId !== owner.agentId)
      this.violation(`${owner.agentId} claimed what is meant for ${target.agentId}`, command.id);
    const key = `${command.id}/${command.attempt}`;
    this.note(command.id, `attempt ${command.attempt} handed to ${owner.agentId} ${owner.session}`);
    if (this.handedOut.has(key)) this.violation(`attempt ${key} was handed out twice`, command.id);
    this.handedOut.set(key, { id: command.id, attempt: command.attempt, ...owner });
    this.count('handed out');
  }

  execute({ id, attempt }: AttemptKey): void {
    const times = (this.executed.get(id) ?? 0) + 1;
    this.executed.set(id, times);
    const execution = { id, startedAtMs: performance.now(), sentAtMs: Infinity };
    this.executions.set(`${id}/${attempt}`, execution);
    this.note(id, `attempt ${attempt} executes`);
    if (times > 1 && this.submitted.get(id)?.delivery === 'at_most_once')
      this.violation('an at-most-once command was executed twice', id);
    this.count('executed');
  }

  /** An outcome of it is about to be sent. */
  send({ id, attempt }: { id: string; attempt: number }): void {
    const execution = this.executions.get(`${id}/${attempt}`);
    if (execution) execution.sentAtMs = Math.min(execution.sentAtMs, performance.now());
  }

  answer(answer: string, about: Accepted): void {
    const { id, attempt, outcome } = about;
    this.note(id, `attempt ${attempt} reported ${outcome}: ${answer}`);
    this.count(answer);
    if (answer === 'unknown') this.violation('a command that was claimed is unknown', id);
    if (answer !== 'accepted') return;
    const key = `${id}/${attempt}`;
    const before = this.accepted.get(key);
    if (before && !(isSame(before.outcome, outcome) && before.session === about.session))
      this.violation(`attempt ${key} was accepted as ${before.outcome} and as ${outcome}`, id);
    this.accepted.set(key, about);
    this.#unjudged.push(about);
  }

  /** What was accepted since this was last asked. */
  takeUnjudged(): Accepted[] {
    return this.#unjudged.splice(0);
  }
}

/** An agent that has given a command back may also say that it stopped because that was cancelled. */
export function isSame(outcome: string | null | undefined, other: string): boolean {
  const given = ['released', 'cancelled'];
  return outcome === other || (given.includes(outcome ?? '') && given.includes(other));
}
