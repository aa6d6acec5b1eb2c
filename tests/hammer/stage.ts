// What every actor of the hammer shares.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Connections } from './connections.ts';
import type { Random } from './random.ts';
import type { Record } from './record.ts';
import type { Buried } from './reports.ts';

export interface Stage {
  readonly url: string;
  readonly connections: Connections;
  readonly record: Record;
  readonly random: Random;
  /** Reports of sessions that are no more, or that were answered long ago. */
  graveyard: Buried[];
  /** Whether faults strike; none do while the hammer heals. */
  faulty: boolean;
  /** Whether it is all over: every actor then returns. */
  over: boolean;
}

/** Whether a fault strikes now. */
export function strikes(stage: Stage, probability: number): boolean {
  return stage.faulty && stage.random.chance(probability);
}

/** Waits between so many milliseconds. */
export async function pause(stage: Stage, leastMs: number, mostMs: number): Promise<void> {
  await sleep(stage.random.between(leastMs, mostMs));
}

/** Acts again and again while faults go on, or to the very end. */
export async function repeatedly(
  stage: Stage,
  until: 'healing' | 'over',
  [leastMs, mostMs]: [number, number],
  act: () => Promise<unknown>,
): Promise<void> {
  const goesOn = () => !stage.over && (stage.faulty || until === 'over');
  while (goesOn()) {
    await act();
    await pause(stage, leastMs, mostMs);
  }
}
