// Whether an answer reached its client, as far as a server can tell.

import type { Socket } from 'node:net';
import type { ParameterizedContext } from 'koa';

/** How long after an answer was sent a reset still says that nobody read it. */
const RESET_MS = 2_000;

/** Ends the watch over a connection's last answer. */
const watches = new WeakMap<Socket, () => void>();

/**
 * Calls back, once, when the connection went before the answer was sent; or, with `orReset`, when the
 * client's machine then said that nobody has read it: the process had died. (One that reads its answer and
 * closes the connection says no such thing.)
 */
export function onUndelivered(
  { res }: ParameterizedContext,
  act: () => void,
  { orReset }: { orReset: boolean },
): void {
  const { socket } = res;
  // Who asks again over the same connection has read the answer before.
  if (socket) watches.get(socket)?.();
  res.once('close', () => {
    if (!res.writableFinished) return act();
    if (!orReset || !socket) return;
    const onError = ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ECONNRESET' || code === 'EPIPE') act();
      stop();
    };
    const stop = () => {
      clearTimeout(timer);
      socket.off('error', onError);
      watches.delete(socket);
    };
    const timer = setTimeout(stop, RESET_MS);
    timer.unref();
    socket.once('error', onError);
    watches.set(socket, stop);
  });
}
