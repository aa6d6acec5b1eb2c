// Cancelling and retrying many commands: those with these ids in one transaction, or those that match a
// filter.

import type { Database } from '../db/connect.ts';
import { CANCEL_ANSWERS, pickCommands, RETRY_ANSWERS, type RetryAnswer } from '../db/steering.ts';
import type { Targets } from './steering-body.ts';
import { count, type Counts, type Visit, walk } from './steering-walk.ts';
import { cancelSurely, retrySurely } from './steering.ts';

export async function cancelMany({ pool, kysely }: Database, targets: Targets, visit: Visit) {
  if ('ids' in targets) {
    const { ids } = targets;
    const answers = await visit.gate.work(() => cancelSurely(pool, ids));
    const results = answers.map((answer, i) => ({ id: ids[i] ?? '', answer }));
    return { ...count(CANCEL_ANSWERS, answers), results };
  }
  const { counts, more } = await walk(
    {
      answers: CANCEL_ANSWERS,
      changes: ['cancelled', 'requested'],
      pick: (limit, after) => pickCommands(kysely, { ...targets, limit, ...(after && { after }) }),
      steer: (ids) => cancelSurely(pool, ids),
    },
    visit,
  );
  return { ...counts, more };
}

export async function retryMany({ pool, kysely }: Database, targets: Targets, visit: Visit) {
  const retry = (ids: string[]) => retrySurely(pool, ids, { once: true });
  if ('ids' in targets) {
    const retried = await visit.gate.work(() => retry(targets.ids));
    const answers = retried.map(({ answer }) => answer);
    const results = retried.map(({ answer, newId }, i) => ({
      id: targets.ids[i] ?? '',
      answer,
      ...(newId && { commandId: newId }),
    }));
    return { ...inJson(count(RETRY_ANSWERS, answers)), results };
  }
  const { counts, more } = await walk(
    {
      answers: RETRY_ANSWERS,
      changes: ['retried'],
      pick: (limit, after) => pickCommands(kysely, { ...targets, limit, ...(after && { after }) }),
      steer: async (ids) => (await retry(ids)).map(({ answer }) => answer),
    },
    visit,
  );
  return { ...inJson(counts), more };
}

function inJson({ retried, not_failed, retried_before, refused, unknown }: Counts<RetryAnswer>) {
  return { retried, notFailed: not_failed, retriedBefore: retried_before, refused, unknown };
}
