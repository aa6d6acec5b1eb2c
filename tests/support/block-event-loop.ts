// Loaded into a process before its own program (NODE_OPTIONS=--import=…): SIGUSR2 then blocks its event
// loop, as an executor may. It says when it begins and when it is over.

import { writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const BLOCKED_MS = 4_000;

if (isMainThread)
  process.on('SIGUSR2', () => {
    writeSync(1, 'blocked\n');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCKED_MS);
    writeSync(1, 'unblocked\n');
  });
