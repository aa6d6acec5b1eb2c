import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { StartupError } from '../db/errors.ts';
import { AnswersDue } from './answers-due.ts';
import { answerUnreadable } from './unreadable.ts';

/** A request must have come in whole by then, its headers sooner. */
const PATIENCE = { requestMs: 30_000, headersMs: 10_000, checkEveryMs: 5_000 };

/** Longer than the 60 s for which proxies keep theirs, so that none sends into a closed one. */
const KEEP_ALIVE_MS = 65_000;

/** For requests that are on their way while we stop: their sender could not know. */
const LINGER_MS = 100;

export interface Listener {
  /** Where to reach it from this machine, without a slash at the end. */
  url: string;
  /** Accepts nothing more, lets requests in flight end for `graceMs`, then cuts them off. */
  stop(graceMs: number): Promise<void>;
}

export interface ListenOptions {
  host: string;
  port: number;
  /** For tests. */
  patience?: typeof PATIENCE;
}

/** @throws StartupError when the address cannot be had. */
export async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  { host, port, patience = PATIENCE }: ListenOptions,
): Promise<Listener> {
  const answers = new AnswersDue();
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    answers.add(response);
    if (!server.listening) response.setHeader('Connection', 'close');
    void handler(request, response);
  };
  const server = createServer(settings(patience), onRequest);
  // The handler says what is wrong with these too, where Node would with a bare status line.
  server.on('checkExpectation', onRequest);
  answerUnreadable(server, answers);
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new StartupError(refusal(cause, `${host}:${port}`), { cause });
  }
  const address = server.address() as AddressInfo;
  return { url: urlOf(host, address.port), stop: (graceMs) => stop(server, answers, graceMs) };
}

function settings({ requestMs, headersMs, checkEveryMs }: typeof PATIENCE): ServerOptions {
  return {
    requestTimeout: requestMs,
    headersTimeout: headersMs,
    connectionsCheckingInterval: checkEveryMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requireHostHeader: false,
  };
}

// Node's own count of idle connections leaves out those that never asked anything: browsers open
// some ahead of need. So this goes by the answers that are due.
async function stop(server: Server, answers: AnswersDue, graceMs: number) {
  const closed = once(server, 'close');
  server.close();
  for (const response of answers.all())
    if (!response.headersSent) response.setHeader('Connection', 'close');
  await pause(LINGER_MS);
  const timer = new AbortController();
  const answered = Promise.all(answers.all().map((response) => once(response, 'close')));
  await Promise.race([answered, pause(graceMs, undefined, { signal: timer.signal })]);
  timer.abort();
  server.closeAllConnections();
  await closed;
}

function refusal(error: unknown, address: string): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') return `Cannot listen on ${address}: something else does already.`;
  return `Cannot listen on ${address}: ${error instanceof Error ? error.message : String(error)}`;
}

function urlOf(host: string, port: number): string {
  const reachable = host === '0.0.0.0' || host === '::' ? 'localhost' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}
