// Submits a run's commands over REST, each at its moment, and remembers the answers. Those with an
// idempotency key are submitted until there is one; the others once. Some are cancelled a little later.

import { setTimeout as pause } from 'node:timers/promises';
import type { PlannedCommand } from './plan.ts';

/** For what takes longer: its attempts time out, are repeated, and fail for good. */
const TOO_SHORT_MS = 50;

export interface Submissions {
  /** The ids of commands that were answered with 201. */
  acknowledged: Set<string>;
  /** How many got no answer, or another one: each may be in the ledger, or not. */
  unknown: number;
  /** The command that was answered for each idempotency key. */
  keyed: Map<string, string>;
  /** What was answered to those who cancelled: 200 (done at once), 202 (asked) or 409 (too late). */
  cancelled: Map<string, number>;
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
  const submissions: Submissions = {
    acknowledged: new Set(),
    unknown: 0,
    keyed: new Map(),
    cancelled: new Map(),
  };
  const startedAt = performance.now();
  const sent: Promise<void>[] = [];
  for (const [index, command] of commands.entries()) {
    const waitMs = command.atMs - (performance.now() - startedAt);
    if (waitMs > 0) await pause(waitMs);
    sent.push(submitOne(command, index, submitter, submissions));
  }
  await Promise.all(sent);
  return submissions;
}

async function submitOne(
  command: PlannedCommand,
  index: number,
  submitter: Submitter,
  submissions: Submissions,
): Promise<void> {
  const key = command.keyed ? `chaos-${index}` : undefined;
  let id: string;
  try {
    id = await post(toBody(command, index, submitter), submitter.url, key);
  } catch {
    submissions.unknown += 1;
    return;
  }
  submissions.acknowledged.add(id);
  if (key) submissions.keyed.set(key, id);
  if (command.cancelAfterMs === undefined) return;
  await pause(command.cancelAfterMs);
  const { status } = await send(submitter.url, `/commands/${id}/cancel`, {}, true);
  submissions.cancelled.set(id, status);
}

function toBody(command: PlannedCommand, index: number, { sinkUrl }: Submitter): object {
  const { kind, ms, concurrencyKey } = command;
  const options = {
    delivery: command.atMostOnce ? 'at_most_once' : 'at_least_once',
    ...(concurrencyKey !== undefined && { concurrencyKey: `key ${concurrencyKey}` }),
  };
  if (kind === 'http')
    return { ...options, type: 'HTTP_GET_JSON', payload: { url: sinkUrl(index, ms) } };
  if (kind === 'deferred') return { ...options, type: 'DELAY', payload: { ms: 100 }, delayMs: ms };
  if (kind === 'failing')
    return {
      ...options,
      type: 'DELAY',
      payload: { ms: 60_000 },
      timeoutMs: TOO_SHORT_MS,
      backoff: { initialMs: ms, maxMs: 1_000 },
    };
  return { ...options, type: 'DELAY', payload: { ms } };
}

async function post(
  body: object,
  url: () => Promise<string>,
  key: string | undefined,
): Promise<string> {
  const headers = key ? { 'Idempotency-Key': key } : {};
  const { status, answer } = await send(url, '/commands', body, key !== undefined, headers);
  const { commandId } = answer as { commandId?: string };
  if (!(status === 201 || (key && status === 200)) || !commandId)
    throw new Error(`refused: ${status}`);
  return commandId;
}

/** Sends it until there is an answer: `again` also where nobody knows what became of it, or after a 5xx. */
async function send(
  url: () => Promise<string>,
  path: string,
  body: object,
  again: boolean,
  headers: Record<string, string> = {},
): Promise<{ status: number; answer: unknown }> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const init = {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
    signal,
  };
  for (;;) {
    const address = await url().catch(() => undefined);
    try {
      const response = address ? await fetch(`${address}${path}`, init) : undefined;
      if (response && !(again && response.status >= 500))
        return { status: response.status, answer: await response.json() };
    } catch (error) {
      if (signal.aborted || !(again || wasRefused(error))) throw error;
    }
    await pause(AGAIN_MS, undefined, { signal });
  }
}

/** Nobody listened: nothing was submitted, and it is safe to try again. */
function wasRefused(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED';
}
