// Agents come and go: after an end, the same id comes back, at once or later, or never and another
// takes its place; and sometimes a second process takes over an id whose first one still lives.

import { setTimeout as sleep } from 'node:timers/promises';
import { Life } from './life.ts';
import { pause, strikes, type Stage } from './stage.ts';

export async function keepAgent(stage: Stage, place: number): Promise<void> {
  const lives: Promise<void>[] = [];
  let agentId = `agent-${place}`;
  for (let generation = 1; !stage.over; generation++) {
    const life = new Life(stage, agentId).live();
    lives.push(life);
    await Promise.race([life, takeOver(stage)]);
    await pause(stage, 0, stage.faulty ? 600 : 0);
    if (strikes(stage, 0.3)) agentId = `agent-${place}-${generation}`;
  }
  await Promise.all(lives);
}

/** Resolves when a second process takes over; for most lives never. */
async function takeOver(stage: Stage): Promise<void> {
  if (!strikes(stage, 0.3)) return await new Promise(() => {});
  await sleep(stage.random.between(100, 1_500), undefined, { ref: false });
}
