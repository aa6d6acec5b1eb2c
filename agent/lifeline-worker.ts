// The lifeline's thread: what lifeline.ts starts. See lifeline-thread.ts.

import { parentPort, workerData } from 'node:worker_threads';
import type { LifelineSetup, ToLifeline } from './lifeline-messages.ts';
import { LifelineThread } from './lifeline-thread.ts';

const port = parentPort;
if (!port) throw new Error('lifeline-worker.ts is a thread of the agent, not a program');

const thread = new LifelineThread(workerData as LifelineSetup, (message) =>
  port.postMessage(message),
);

port.on('message', (message: ToLifeline) => {
  if (message.kind === 'state') thread.heed(message.state);
  // With the port closed and the connection gone nothing keeps the thread.
  else void thread.close().then(() => port.close());
});

// Rejecting ends the thread, and the main thread hears why.
await thread.open();
