// A TCP proxy between an agent and Postgres that loses what a network may lose.
//
// Forwards bytes. A connection is known by the application_name of its first packet. A blackhole
// swallows everything and says nothing, as a dead link does; a cut closes both ends.

import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

interface Link {
  client: Socket;
  server: Socket;
  applicationName: string;
  isBlackhole: boolean;
  losesReply: boolean;
}

export interface Proxy extends AsyncDisposable {
  /** The database's URL by way of the proxy. */
  url: string;
  /** Whoever says this next gets no answer: the connection is cut once the answer is on its way. */
  cutReplyTo(statement: RegExp): Promise<void>;
  /** Swallows all bytes of the present connections of that name, both ways; answers how many. */
  blackhole(applicationName: RegExp): number;
  /** Swallows the bytes of every connection, those to come as well, until the answer is called. */
  blackholeAll(): () => void;
  cut(): void;
}

export async function startProxy(databaseUrl: string): Promise<Proxy> {
  const target = new URL(databaseUrl);
  const links = new Set<Link>();
  let isDark = false;
  let victim: { statement: RegExp; cut: () => void } | undefined;

  const listener = createServer((client) => {
    const server = connect(Number(target.port || '5432'), target.hostname);
    const link = { client, server, applicationName: '', isBlackhole: isDark, losesReply: false };
    links.add(link);
    for (const socket of [client, server]) {
      socket.on('error', () => {});
      socket.on('close', () => end(link));
    }
    client.on('data', (bytes) => {
      link.applicationName ||= applicationNameIn(bytes);
      if (link.isBlackhole) return;
      link.losesReply = victim?.statement.test(bytes.toString('latin1')) ?? false;
      server.write(bytes);
    });
    server.on('data', (bytes) => {
      if (link.isBlackhole) return;
      if (link.losesReply) {
        end(link);
        victim?.cut();
        victim = undefined;
      } else client.write(bytes);
    });
  });
  const end = (link: Link) => {
    // The far end of a dead link hears of it no more than the near end does.
    if (!link.isBlackhole || !listener.listening) link.server.destroy();
    link.client.destroy();
    if (link.server.destroyed) links.delete(link);
  };
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const url = new URL(databaseUrl);
  url.hostname = '127.0.0.1';
  url.port = String((listener.address() as AddressInfo).port);

  return {
    url: url.href,
    cutReplyTo: (statement) => new Promise((cut) => (victim = { statement, cut })),
    blackhole: (name) => {
      const dead = [...links].filter((link) => name.test(link.applicationName));
      for (const link of dead) link.isBlackhole = true;
      return dead.length;
    },
    blackholeAll: () => {
      isDark = true;
      for (const link of links) link.isBlackhole = true;
      return () => (isDark = false);
    },
    cut: () => [...links].forEach(end),
    [Symbol.asyncDispose]: async () => {
      const closed = once(listener, 'close');
      listener.close();
      [...links].forEach(end);
      await closed;
    },
  };
}

function applicationNameIn(startup: Buffer): string {
  return /application_name\0([^\0]*)\0/.exec(startup.toString('latin1'))?.[1] ?? '';
}
