// What HTTP_GET_JSON commands ask in a run: it counts executions, knowing nothing of the ledger.

import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { startHttpServer } from '../support/http-server.ts';

/** One execution: who asked, and what it was told and nobody else. */
export interface Hit {
  commandId: string;
  attempt: number;
  nonce: string;
}

export interface Sink extends AsyncDisposable {
  /** An address of its own for each command; the answer takes `ms`. */
  urlFor(index: number, ms: number): string;
  hits: Hit[];
}

export async function startSink(): Promise<Sink> {
  const hits: Hit[] = [];
  const server = await startHttpServer((request, response) => {
    const hit = {
      commandId: String(request.headers['idempotency-key']),
      attempt: Number(request.headers['agent-executor-attempt']),
      nonce: randomUUID(),
    };
    hits.push(hit);
    const ms = Number(new URL(request.url ?? '', 'http://sink').searchParams.get('ms'));
    void pause(ms).then(() => {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify(hit));
    });
  });
  return {
    urlFor: (index, ms) => `${server.url}/${index}?ms=${ms}`,
    hits,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
