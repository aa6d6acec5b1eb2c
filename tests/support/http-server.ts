// A real HTTP server on 127.0.0.1 for what executors and clients have to cope with.
//
//     await using server = await startHttpServer((request, response) => response.end('hello'));

import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface TestServer extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  url: string;
  /** What was asked so far, in order. */
  requests: IncomingMessage[];
  /** Bytes handed to the kernel so far, headers included. */
  bytesSent(): number;
  /** Resolves when no connection is open. */
  idle(): Promise<void>;
}

/** Starts a server on a free port; leaving the scope of `await using` stops it. */
export async function startHttpServer(handler: RequestListener): Promise<TestServer> {
  const requests: IncomingMessage[] = [];
  const sockets: Socket[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    // Clients that leave early are the point of many tests.
    response.on('error', () => undefined);
    handler(request, response);
  });
  server.on('connection', (socket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    bytesSent: () => sockets.reduce((sum, socket) => sum + socket.bytesWritten, 0),
    async idle() {
      const open = sockets.filter((socket) => !socket.closed);
      await Promise.all(open.map((socket) => new Promise((done) => socket.once('close', done))));
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** An address that refuses connections: a port that was free a moment ago. */
export async function refusedUrl(): Promise<string> {
  const server = await startHttpServer(() => undefined);
  await server[Symbol.asyncDispose]();
  return server.url;
}
