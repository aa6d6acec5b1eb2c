// POST /commands with `Prefer: wait`: how long until the finished command is there, on an idle system of one
// server and one agent.

import { setTimeout as sleep } from 'node:timers/promises';
import { distribution, timed } from './distribution.ts';
import { startProcess } from './processes.ts';

const COMMANDS = 300;

export async function wait(url: string): Promise<string[]> {
  await using server = await startProcess('server', url);
  await using _agent = await startProcess('agent', url);
  const durations: number[] = [];
  for (let i = 0; i < COMMANDS + 10; i += 1) {
    durations.push(await timed(() => submit(server.ready)));
    await sleep(10 + 20 * Math.random());
  }
  // The first ones open connections.
  return [`DELAY 0, from the request to its result: ${distribution(durations.slice(10))}`];
}

async function submit(server: string): Promise<void> {
  const response = await fetch(`${server}/commands`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Prefer: 'wait=10' },
    body: '{"type":"DELAY","payload":{"ms":0}}',
  });
  await response.text();
  if (response.status !== 200) throw new Error(`not done in time: ${response.status}`);
}
