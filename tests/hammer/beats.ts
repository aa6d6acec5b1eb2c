// An agent's beats, and what may befall it between two of them.

import { beat, release, type AttemptKey } from '../../db/agents.ts';
import { guard } from './connections.ts';
import { draw } from './executions.ts';
import type { Life } from './life.ts';
import { sendReports } from './reports.ts';

export async function beatOnce(life: Life): Promise<void> {
  const { stage } = life;
  const state = {
    running: [...life.running.values()],
    settledClaimNo: life.settledClaimNo,
    ...life.subscription,
    draining: false,
  };
  const answer = await guard(stage.record, 'beat', () => beat(life.lifeline, life, state));
  if (life.over) return;
  if (answer?.superseded) return life.crash('superseded');
  for (const key of revoked(life, state.running, answer?.revoked ?? [])) {
    stage.record.note(key.slice(0, 36), `${key} is revoked`);
    // Half of the executors do not listen: their reports come all the same.
    if (stage.random.chance(0.5)) life.running.delete(key);
  }
  for (const id of answer?.cancelled ?? []) life.cancelled.add(id);
  const fate = stage.faulty ? stage.random.next() : 1;
  if (fate < 0.02) life.crash('crashed');
  else if (fate < 0.025) await life.signOff();
  else if (fate < 0.04) life.freeze(stage.random.between(100, 1_300));
  // Until about when it is found lost.
  else if (fate < 0.06) life.freeze(stage.random.between(450, 750));
  else if (fate < 0.09) await contradict(life, state.running);
}

/** Gives all it runs back and reports it too, at the same moment: one of the two must win. */
async function contradict(life: Life, running: AttemptKey[]): Promise<void> {
  const { stage, session } = life;
  const { record, connections } = stage;
  const reports = running.map((key) => draw(life, key));
  for (const key of running) record.send(key);
  const [given] = await Promise.all([
    guard(record, 'release', () => release(connections.work.pool, session, running)),
    guard(record, 'report', () => sendReports(stage, stage.random.shuffled(reports))),
  ]);
  record.count('contradicted', running.length);
  given?.forEach((answer, i) => {
    const key = running[i];
    if (key) record.answer(answer, { ...key, session, outcome: 'released' });
  });
}

/** Of what the beat told of: since then it may have claimed the same command anew. */
function revoked(life: Life, told: AttemptKey[], ids: string[]): string[] {
  return [...life.running]
    .filter(([, attempt]) => told.includes(attempt) && ids.includes(attempt.id))
    .map(([key]) => key);
}
