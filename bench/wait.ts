// POST /commands with `Prefer: wait`: how long until the finished command is there, on an idle system of one
// server and one agent.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from './context.ts';
import { timed } from './timed.ts';
import { durationsOf, OURS, type Measurement } from './measurement.ts';
import { startProcess } from './processes.ts';

const COMMANDS = { full: 300, quick: 60 };

export async function wait(context: Context): Promise<Measurement[]> {
  await using database = await context.migrated();
  await using server = await startProcess('server', database.url);
  await using _agent = await startProcess('agent', database.url);
  const durations: number[] = [];
  for (let i = 0; i < (context.quick ? COMMANDS.quick : COMMANDS.full) + 10; i += 1) {
    durations.push(await timed(() => submit(server.ready)));
    await sleep(10 + 20 * Math.random());
  }
  // The first ones open connections.
  return durationsOf('over REST, request to result with Prefer: wait', OURS, [durations.slice(10)]);
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
