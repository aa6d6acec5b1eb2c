// Runs HTTP_GET_JSON against servers made for a test, as an agent would.

import type { RequestListener } from 'node:http';
import { Readable, pipeline } from 'node:stream';
import { expect } from 'vitest';
import { createHttpGetJson } from '../../agent/executors/http-get-json.ts';
import { createRegistry } from '../../agent/executors/registry.ts';
import { runExecutor, type Outcome } from '../../agent/executors/run.ts';
import { executorContext } from './executor-context.ts';
import { startHttpServer } from './http-server.ts';

/** No answer may cost the other end more than this, which is mostly the kernel's buffers. */
export const MAX_SENT_BYTES = 16 * 1_048_576;

interface Options {
  timeoutMs?: number;
  context?: ReturnType<typeof executorContext>;
}

/** Runs the command as the agent would. */
export function outcomeOf(
  url: string,
  { timeoutMs = 10_000, context = executorContext() }: Options = {},
) {
  const registry = createRegistry([createHttpGetJson({ timeoutMs })]);
  return runExecutor(registry, { type: 'HTTP_GET_JSON', payload: { url } }, context);
}

export async function get(url: string, options: Options = {}): Promise<Record<string, unknown>> {
  const outcome: Outcome = await outcomeOf(url, options);
  if (outcome.outcome === 'failed') throw new Error(outcome.error.message);
  return outcome.result as Record<string, unknown>;
}

export async function getFrom(handler: RequestListener) {
  await using server = await startHttpServer(handler);
  return await get(server.url);
}

export function answer(status: number, body: unknown, bytesReturned: number) {
  return { status, body, truncated: false, bytesReturned, error: null };
}

export function noAnswer(message: string | RegExp) {
  const error = expect.stringMatching(message) as string;
  return { status: 0, body: null, truncated: false, bytesReturned: 0, error };
}

export function sending(
  body: string | Buffer,
  { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {},
): RequestListener {
  return (_, response) => response.writeHead(status, headers).end(body);
}

export function endless(chunk: Buffer, target: NodeJS.WritableStream): void {
  pipeline(Readable.from(repeated(chunk)), target, () => undefined);
}

function* repeated(chunk: Buffer) {
  for (;;) yield chunk;
}
