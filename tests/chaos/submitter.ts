// Submits a run's commands over REST, each at its moment and once, and remembers the answers.

import { setTimeout as pause } from 'node:timers/promises';
import type { PlannedCommand } from './plan.ts';

/** A type that nobody carries out: its attempts fail, are repeated, and fail for good. */
export const NOBODYS_TYPE = 'CHAOS_NOBODY';

export interface Submissions {
  /** The ids of commands that were answered with 201. */
  acknowledged: Set<string>;
  /** How many got no answer, or another one: each may be in the ledger, or not. */
  unknown: number;
}

export interface Submitter {
  /** Where the server listens; rejects while it is away. */
  url: () => Promise<string>;
  sinkUrl: (index: number, ms: number) => string;
}

const PATIENCE_MS = 20_000;
const AGAIN_MS = 100;

/** Resolves when every command was sent and answered. */
export async function submitAll(
  commands: PlannedCommand[],
  submitter: Submitter,
): Promise<Submissions> {
  const submissions: Submissions = { acknowledged: new Set(), unknown: 0 };
  const startedAt = performance.now();
  const sent: Promise<void>[] = [];
  for (const [index, command] of commands.entries()) {
    const waitMs = command.atMs - (performance.now() - startedAt);
    if (waitMs > 0) await pause(waitMs);
    sent.push(
      post(toBody(command, index, submitter), submitter.url).then(
        (id) => void submissions.acknowledged.add(id),
        () => void (submissions.unknown += 1),
      ),
    );
  }
  await Promise.all(sent);
  return submissions;
}

function toBody(command: PlannedCommand, index: number, { sinkUrl }: Submitter): object {
  const { kind, ms } = command;
  const delivery = command.atMostOnce ? 'at_most_once' : 'at_least_once';
  if (kind === 'http')
    return { delivery, type: 'HTTP_GET_JSON', payload: { url: sinkUrl(index, ms) } };
  if (kind === 'deferred') return { delivery, type: 'DELAY', payload: { ms: 100 }, delayMs: ms };
  if (kind === 'failing')
    return { delivery, type: NOBODYS_TYPE, payload: {}, backoff: { initialMs: ms, maxMs: 1_000 } };
  return { delivery, type: 'DELAY', payload: { ms } };
}

async function post(body: object, url: () => Promise<string>): Promise<string> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const init = {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  };
  let response: Response | undefined;
  while (!response) {
    const address = await url().catch(() => undefined);
    try {
      if (address) response = await fetch(`${address}/commands`, init);
    } catch (error) {
      if (!wasRefused(error)) throw error;
    }
    if (!response) await pause(AGAIN_MS, undefined, { signal });
  }
  const { commandId } = (await response.json()) as { commandId?: string };
  if (response.status !== 201 || !commandId) throw new Error(`refused: ${response.status}`);
  return commandId;
}

/** Nobody listened: nothing was submitted, and it is safe to try again. */
function wasRefused(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED';
}
