// How a process is asked to stop.
//
// The first SIGINT, SIGTERM or SIGHUP (the terminal was closed), or the launcher that started us going
// away, asks for a clean stop. A second signal ends the process at once, unless it is the echo of the
// first: Ctrl-C under npm arrives twice within a millisecond or two.

import { inspect } from 'node:util';

const ECHO_MS = 500;

/** Listens for requests to stop. `now` and `exit` are replaced in tests. */
export function onStopRequest(exit: (code: number) => void = (code) => process.exit(code)) {
  const controller = new AbortController();
  let firstAt: number | undefined;
  const stop = (reason: string) => {
    const now = performance.now();
    if (firstAt === undefined) {
      firstAt = now;
      controller.abort(reason);
    } else if (now - firstAt > ECHO_MS && reason.startsWith('SIG')) {
      exit(1);
    }
  };
  process.on('SIGINT', () => stop('SIGINT'));
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGHUP', () => stop('SIGHUP'));
  if (process.send) {
    const abandoned = () => stop('the launcher went away');
    // It may have gone while this process was still loading.
    if (process.connected) process.on('disconnect', abandoned);
    else abandoned();
  }
  return controller.signal;
}

/** Errors whose message says all there is to say to whoever started the process. */
const CLEAR = new Set(['ConfigError', 'StartupError']);

/** Runs a process's main flow: an error ends it with exit code 1 and, if it is clear, one line. */
export async function exitOnError(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    const clear = error instanceof Error && CLEAR.has(error.name);
    process.stderr.write(`${clear ? error.message : inspect(error)}\n`);
    process.exit(1);
  }
}
