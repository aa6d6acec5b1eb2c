// What an agent does with one command: execute it for a moment, then report an outcome until it hears
// the answer, or give it back.

import { release, type AttemptKey } from '../../db/agents.ts';
import type { ClaimedCommand } from '../../db/claim.ts';
import { guard } from './connections.ts';
import type { Life } from './life.ts';
import { bury, type SessionReport } from './reports.ts';
import { say } from './sayings.ts';
import { pause, strikes } from './stage.ts';

/** Beyond the deadline of most commands, and its grace. */
const HANG_MS = 1_000;

export async function execute(life: Life, command: ClaimedCommand): Promise<void> {
  const { stage } = life;
  const key = `${command.id}/${command.attempt}`;
  life.running.set(key, { id: command.id, attempt: command.attempt });
  stage.record.execute(command);
  if (command.cancelRequested) life.cancelled.add(command.id);
  await pause(stage, 0, 10);
  if (stage.random.chance(0.3)) await say(life, command);
  await pause(stage, 0, 10);
  if (strikes(stage, 0.005)) await pause(stage, HANG_MS, HANG_MS);
  await life.thaw();
  const report = draw(life, command);
  if (!life.over && strikes(stage, 0.04)) await giveBack(life, command);
  else await deliver(life, key, report);
  life.running.delete(key);
}

/** Reports until it is answered: an answer may be dropped, and the connection lost. */
async function deliver(life: Life, key: string, report: SessionReport): Promise<void> {
  const { stage } = life;
  while (!life.over) {
    if (!life.running.has(key)) return bury(stage, report);
    const answer = await guard(stage.record, 'report', () => life.reports.add(report));
    if (answer && strikes(stage, 0.3)) bury(stage, report);
    if (answer && !strikes(stage, 0.03)) return;
    if (stage.record.failed.aborted) return;
    await pause(stage, 1, 150);
    await life.thaw();
  }
  // Its journal may still hold the outcome.
  if (stage.faulty && stage.random.chance(0.6)) bury(stage, report);
}

/** Until it is answered, too: what was started may not look unstarted to a beat. */
async function giveBack(life: Life, { id, attempt }: ClaimedCommand): Promise<void> {
  const { stage, session } = life;
  const { record, connections } = stage;
  record.send({ id, attempt });
  while (!life.over && !record.failed.aborted) {
    const answers = await guard(record, 'release', () =>
      release(connections.work.pool, session, [{ id, attempt }]),
    );
    if (answers?.[0])
      return record.answer(answers[0], { id, attempt, session, outcome: 'released' });
    await pause(stage, 1, 50);
  }
}

/** How an attempt may end: most of those that are to be cancelled stop. */
export function draw(life: Life, { id, attempt }: AttemptKey): SessionReport {
  const { stage, session } = life;
  const owned = { id, attempt, session };
  const result = { by: session, attempt };
  if (stage.random.chance(life.cancelled.has(id) ? 0.7 : 0.01)) {
    const error = { code: 'cancelled', message: 'it was asked for', retryable: false };
    return { ...owned, outcome: 'cancelled', error };
  }
  if (!strikes(stage, 0.3)) return { ...owned, outcome: 'completed', result };
  const outcome = stage.random.chance(0.7) ? 'failed' : 'timed_out';
  const retryable = outcome === 'timed_out' || stage.random.chance(0.8);
  const code = outcome === 'failed' ? 'executor_error' : 'timed_out';
  return { ...owned, outcome, error: { code, message: 'no luck', retryable } };
}
