// Requests as fast as so many connections bring them, each after the answer to the one before.
//
// Bytes over sockets, not node:http: its client takes more of the machine than the server that it asks, so that
// it would measure itself. The request is made once; of an answer only what HTTP/1.1 needs is read.

import { connect, type Socket } from 'node:net';
import { once } from 'node:events';

export interface Load {
  url: string;
  body: string;
  connections: number;
  seconds: number;
}

const HEAD_END = Buffer.from('\r\n\r\n');

/** Answers a second. */
export async function load({ url, body, connections, seconds }: Load): Promise<number> {
  const { hostname, port, host, pathname } = new URL(url);
  const request = Buffer.from(
    `POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  const sockets = Array.from({ length: connections }, () => connect(Number(port), hostname));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  const startedAt = performance.now();
  const until = startedAt + seconds * 1_000;
  const counts = await Promise.all(sockets.map((socket) => askAgain(socket, request, until)));
  const done = counts.reduce((sum, count) => sum + count, 0);
  return (done * 1_000) / (performance.now() - startedAt);
}

/** How many answers came before the time was up and the last one was there. */
function askAgain(socket: Socket, request: Buffer, until: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let answers = 0;
  let rest: Buffer = Buffer.alloc(0);
  socket.setNoDelay().on('error', reject);
  socket.on('close', () => reject(new Error('the server closed a connection')));
  socket.on('data', (bytes) => {
    rest = rest.length > 0 ? Buffer.concat([rest, bytes]) : bytes;
    const length = answerLength(rest);
    if (length === undefined || rest.length < length) return;
    if (rest.toString('latin1', 9, 12) !== '201') return reject(new Error(rest.toString('latin1')));
    rest = rest.subarray(length);
    answers += 1;
    if (performance.now() < until) return socket.write(request);
    resolve(answers);
    socket.removeAllListeners('close').destroy();
  });
  socket.write(request);
  return promise;
}

/** Head and body; undefined while the head has not come in whole. */
function answerLength(bytes: Buffer): number | undefined {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const head = bytes.toString('latin1', 0, end);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length === undefined) throw new Error(`an answer without a length: ${head}`);
  return end + HEAD_END.length + Number(length);
}
