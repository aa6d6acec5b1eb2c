// Whether an answer reached its client, as far as a server can tell.

import type { ParameterizedContext } from 'koa';

/** How long after an answer was sent a reset still says that nobody read it. */
const RESET_MS = 2_000;

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
    };
    const timer = setTimeout(stop, RESET_MS);
    timer.unref();
    socket.once('error', onError);
  });
}
