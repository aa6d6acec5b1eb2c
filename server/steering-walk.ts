// Steers whatever matches, page by page: each page is one transaction, and what is left is for the next
// request.

import type { PagePosition } from '../db/command-json.ts';
import type { Picked } from '../db/steering.ts';
import type { Gate } from './gate.ts';
import { MAX_PAGE } from './steering.ts';

/** How far one request goes. Proxies give up after a minute. */
const LIMITS = { maxChanged: 100_000, maxMs: 20_000 };

export interface Walk<A extends string> {
  /** Every answer there is, and those that mean that something changed. */
  answers: readonly A[];
  changes: readonly A[];
  pick: (limit: number, after?: PagePosition) => Promise<Picked>;
  steer: (ids: string[]) => Promise<readonly A[]>;
}

export interface Visit {
  /** Pages go through it one by one. */
  gate: Gate;
  /** Aborts when nobody waits for the answer any more. */
  gone: AbortSignal;
}

/**
 * Walks newest first: what is created meanwhile is newer than the first page, so this ends. It goes on for
 * as long as nothing changed, so that requests that repeat each other get somewhere.
 *
 * `more`: there may be more.
 */
export async function walk<A extends string>(
  { answers, changes, pick, steer }: Walk<A>,
  { gate, gone }: Visit,
  limits = LIMITS,
): Promise<{ counts: Counts<A>; more: boolean }> {
  const endsAtMs = performance.now() + limits.maxMs;
  const counts = count(answers, []);
  let changed = 0;
  let after: PagePosition | undefined;
  let isEnough = false;
  while (!isEnough && !gone.aborted) {
    const limit = Math.min(MAX_PAGE, limits.maxChanged - changed);
    const { given, next } = await gate.work(async () => {
      const page = await pick(limit, after);
      return { given: page.ids.length > 0 ? await steer(page.ids) : [], next: page.next };
    });
    for (const answer of given) counts[answer] += 1;
    changed += given.filter((answer) => changes.includes(answer)).length;
    after = next;
    isEnough = !after || changed >= limits.maxChanged || isLate(changed, endsAtMs);
  }
  return { counts, more: after !== undefined };
}

/** How often each answer was given. */
export type Counts<A extends string> = Record<A, number>;

export function count<A extends string>(answers: readonly A[], given: readonly A[]): Counts<A> {
  const counts = Object.fromEntries(answers.map((answer) => [answer, 0])) as Counts<A>;
  for (const answer of given) counts[answer] += 1;
  return counts;
}

function isLate(changed: number, endsAtMs: number): boolean {
  return changed > 0 && performance.now() > endsAtMs;
}
