// A server that answers agents what a test says, and who asks it.

import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { startHttpServer } from './http-server.ts';

export const identity = { agentId: 'a', session: randomUUID() };
export const info = {
  queues: ['default'],
  types: ['DELAY'],
  concurrency: 1,
  host: 'h',
  pid: 1,
  version: '0',
};

/** A request's body, as the server gets it. */
export type Body = Record<string, unknown>;

export interface Answer {
  status?: number;
  body?: unknown;
}

/** A server that answers what the test says, at once or later, and keeps what it was asked. */
export async function scriptServer(answer: (path: string, body: Body) => Answer | Promise<Answer>) {
  const asked: { path: string; body: Body; headers: IncomingMessage['headers'] }[] = [];
  const reply = async (request: IncomingMessage, response: ServerResponse) => {
    const body = JSON.parse((await text(request)) || '{}') as Body;
    const path = request.url ?? '';
    asked.push({ path, body, headers: request.headers });
    const { status = 200, body: said } = await answer(path, body);
    response.writeHead(status).end(typeof said === 'string' ? said : JSON.stringify(said));
  };
  const server = await startHttpServer((request, response) => void reply(request, response));
  return {
    url: server.url,
    asked,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

export function problem(status: number, code: string): Answer {
  return { status, body: { code, detail: `that is ${code}` } };
}
