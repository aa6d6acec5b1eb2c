import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { StartupError } from '../db/errors.ts';

/** A request must have come in whole by then, its headers sooner. */
const REQUEST_MS = 30_000;
const HEADERS_MS = 10_000;

/** Longer than the 60 s for which proxies keep theirs, so that none sends into a closed one. */
const KEEP_ALIVE_MS = 65_000;

const IDLE_CHECK_MS = 50;

export interface Listener {
  /** Where to reach it from this machine, without a slash at the end. */
  url: string;
  /** Accepts nothing more, lets requests in flight end for `graceMs`, then cuts them off. */
  stop(graceMs: number): Promise<void>;
}

/** @throws StartupError when the address cannot be had. */
export async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  { host, port }: { host: string; port: number },
): Promise<Listener> {
  const server = createServer(
    { requestTimeout: REQUEST_MS, headersTimeout: HEADERS_MS, keepAliveTimeout: KEEP_ALIVE_MS },
    (request, response) => void handler(request, response),
  );
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new StartupError(refusal(cause, `${host}:${port}`), { cause });
  }
  const address = server.address() as AddressInfo;
  return { url: urlOf(host, address.port), stop: (graceMs) => stop(server, graceMs) };
}

// A connection that is kept alive becomes idle after its last answer; close() alone waits for it.
async function stop(server: Server, graceMs: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
  const grace = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearInterval(idle);
  clearTimeout(grace);
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
