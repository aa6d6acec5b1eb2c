// Agents come and go: after an end, the same id comes back, at once or later, or never and another
// takes its place; and sometimes a second process takes over an id whose first one still lives.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Subscription } from '../../db/agents.ts';
import { SUBSCRIPTION } from '../support/session.ts';
import { Life } from './life.ts';
import { pause, strikes, type Stage } from './stage.ts';

/** So many agents keep their ids, so that commands may be meant for them. */
export const TARGETS = 3;

export async function keepAgent(stage: Stage, place: number): Promise<void> {
  const lives: Promise<void>[] = [];
  let agentId = `agent-${place}`;
  for (let generation = 1; !stage.over; generation++) {
    const life = new Life(stage, agentId, subscriptionOf(place)).live();
    lives.push(life);
    await Promise.race([life, takeOver(stage)]);
    await pause(stage, 0, stage.faulty ? 600 : 0);
    // What is meant for one of the first few would wait for ever.
    if (place >= TARGETS && strikes(stage, 0.3)) agentId = `agent-${place}-${generation}`;
  }
  await Promise.all(lives);
}

/** Most take everything, some only a queue or a type. */
function subscriptionOf(place: number): Subscription {
  if (place === 6) return { ...SUBSCRIPTION, queues: ['side'] };
  if (place === 7) return { ...SUBSCRIPTION, types: ['DELAY'] };
  return { ...SUBSCRIPTION, queues: ['default', 'side'] };
}

/** Resolves when a second process takes over; for most lives never. */
async function takeOver(stage: Stage): Promise<void> {
  if (!strikes(stage, 0.3)) return await new Promise(() => {});
  await sleep(stage.random.between(100, 1_500), undefined, { ref: false });
}
