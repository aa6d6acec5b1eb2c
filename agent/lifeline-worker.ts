// The lifeline's thread: what lifeline.ts starts. See lifeline-thread.ts, lifeline-thread-http.ts.

import { parentPort, workerData } from 'node:worker_threads';
import type { FromLifeline, LifelineSetup, ToLifeline } from './lifeline-messages.ts';
import { HttpLifelineThread } from './lifeline-thread-http.ts';
import { LifelineThread } from './lifeline-thread.ts';

const port = parentPort;
if (!port) throw new Error('lifeline-worker.ts is a thread of the agent, not a program');

const setup = workerData as LifelineSetup;
const tell = (message: FromLifeline) => port.postMessage(message);
const thread =
  'serverUrl' in setup ? new HttpLifelineThread(setup, tell) : new LifelineThread(setup, tell);

const { promise: isWanted, resolve: decide } = Promise.withResolvers<boolean>();

port.on('message', (message: ToLifeline) => {
  if (message.kind === 'open') decide(true);
  else if (message.kind === 'close') {
    decide(false);
    // With the port closed and the connection gone nothing keeps the thread.
    void thread.close().then(() => port.close());
  } else thread.heed(message);
});

// Rejecting ends the thread, and the main thread hears why.
if (await isWanted) await thread.open();
