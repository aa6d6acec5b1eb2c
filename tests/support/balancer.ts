// One address for servers that come and go: each connection is taken to whichever is named then.

import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Balancer extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  url: string;
}

/** `next` answers a server's URL. A connection is cut when it rejects, or when that server does not answer. */
export async function startBalancer(next: () => Promise<string>): Promise<Balancer> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  };
  const join = async (client: Socket) => {
    keep(client);
    try {
      const { hostname, port } = new URL(await next());
      const server = connect(Number(port), hostname);
      keep(server);
      client.on('close', () => server.destroy());
      server.on('close', () => client.destroy());
      client.pipe(server).pipe(client);
    } catch {
      client.destroy();
    }
  };
  const listener = createServer((client) => void join(client));
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      const closed = once(listener, 'close');
      listener.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
