// What a pooler in transaction mode (PgBouncer, RDS Proxy, …) does to a connection, as far as an agent
// can tell: the process id that it is told is made up, and no NOTIFY arrives. In truth every connection
// has a backend of its own.

import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Pooler extends AsyncDisposable {
  /** The database's URL by way of the pooler. */
  url: string;
  /** Ends every connection. From now on this is a plain proxy, or a pooler again. */
  become(what: 'proxy' | 'pooler'): void;
}

export async function startPooler(databaseUrl: string): Promise<Pooler> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let isPooler = true;
  const listener = createServer((client) => {
    const server = connect(Number(target.port || '5432'), target.hostname);
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
    client.pipe(server);
    if (!isPooler) {
      server.pipe(client);
      return;
    }
    let rest: Buffer = Buffer.alloc(0);
    server.on('data', (bytes) => {
      const { messages, incomplete } = split(Buffer.concat([rest, bytes]));
      rest = incomplete;
      const passed = messages.filter((message) => typeOf(message) !== 'A').map(withOtherPid);
      client.write(Buffer.concat(passed));
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const url = new URL(databaseUrl);
  url.hostname = '127.0.0.1';
  url.port = String((listener.address() as AddressInfo).port);
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: url.href,
    become: (what) => {
      isPooler = what === 'pooler';
      cut();
    },
    [Symbol.asyncDispose]: async () => {
      const closed = once(listener, 'close');
      listener.close();
      cut();
      await closed;
    },
  };
}

/** Messages of Postgres: a byte for the type, then the length of the rest, itself included. */
function split(bytes: Buffer): { messages: Buffer[]; incomplete: Buffer } {
  const messages: Buffer[] = [];
  let at = 0;
  while (bytes.length >= at + 5) {
    const end = at + 1 + bytes.readInt32BE(at + 1);
    if (bytes.length < end) break;
    messages.push(bytes.subarray(at, end));
    at = end;
  }
  return { messages, incomplete: bytes.subarray(at) };
}

function typeOf(message: Buffer): string {
  return String.fromCharCode(message[0] ?? 0);
}

/** BackendKeyData with another process id; any other message as it is. */
function withOtherPid(message: Buffer): Buffer {
  if (typeOf(message) !== 'K') return message;
  const changed = Buffer.from(message);
  changed.writeInt32BE(message.readInt32BE(5) ^ 0x7fff_0000, 5);
  return changed;
}
