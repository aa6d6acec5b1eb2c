// What was promised to those who submitted with keys, cancelled, and said how far they were; against the
// ledger, and against what executors saw themselves.

import type { Execution } from './record.ts';
import type { Stage } from './stage.ts';

/** One command an idempotency key; and one execution of a concurrency key at a time. */
export async function judgeKeys(stage: Stage): Promise<void> {
  const { record, connections } = stage;
  for (const [key, ids] of record.idempotent)
    if (ids.size !== 1) record.violation(`idempotency key ${key} is ${ids.size} commands`, ...ids);
  const { rows: doubled } = await connections.control.pool.query<{ key: string; ids: string[] }>(
    `select idempotency_key as key, array_agg(id) as ids from executor.commands
     where idempotency_key is not null group by 1 having count(*) > 1`,
  );
  for (const { key, ids } of doubled)
    record.violation(`the ledger has ${ids.length} commands of idempotency key ${key}`, ...ids);

  const { rows: overlaps } = await connections.control.pool.query<{ ids: string[] }>(
    `with attempts as (
       select c.concurrency_key, a.command_id, a.attempt, a.started_at, a.finished_at
       from executor.command_attempts a
       join executor.commands c on c.id = a.command_id and c.concurrency_key is not null
     )
     select array[a.command_id, b.command_id] as ids
     from attempts a
     join attempts b using (concurrency_key)
     where a.command_id < b.command_id
       and a.started_at < b.finished_at and b.started_at < a.finished_at`,
  );
  for (const { ids } of overlaps) record.violation('attempts of a concurrency key overlap', ...ids);
  judgeExecutions(stage);
}

/**
 * Of those that ended as their executor said: what was taken away from an executor (lost, timed out at
 * its deadline, given back by a goodbye) may run on beside anything.
 */
function judgeExecutions({ record }: Stage): void {
  const byKey = new Map<string, Execution[]>();
  for (const [key, { outcome }] of record.accepted) {
    const execution = record.executions.get(key);
    if (!execution || !['completed', 'failed'].includes(outcome)) continue;
    const concurrencyKey = record.submitted.get(execution.id)?.concurrencyKey;
    if (concurrencyKey === undefined) continue;
    byKey.set(concurrencyKey, [...(byKey.get(concurrencyKey) ?? []), execution]);
  }
  for (const [key, executions] of byKey) {
    record.count('executions with a key', executions.length);
    const inOrder = executions.toSorted((a, b) => a.startedAtMs - b.startedAtMs);
    inOrder.reduce((before, next) => {
      if (next.startedAtMs < before.sentAtMs && next.id !== before.id)
        record.violation(`executions of ${key} overlap`, before.id, next.id);
      return next.sentAtMs > before.sentAtMs ? next : before;
    });
  }
}

const ENDS: { [answer: string]: RegExp } = {
  cancelled: /^CANCELLED$/,
  requested: /^(CANCELLED|COMPLETED)$/,
  done: /^(CANCELLED|COMPLETED|FAILED)$/,
};

export async function judgeAnswersToCancellers({ record, connections }: Stage): Promise<void> {
  const { rows } = await connections.control.pool.query<{ id: string; status: string }>(
    'select id, status::text from executor.commands where id = any ($1)',
    [[...record.cancelled.keys()]],
  );
  const statuses = new Map(rows.map(({ id, status }) => [id, status]));
  for (const [id, answers] of record.cancelled)
    for (const answer of answers)
      if (ENDS[answer]?.test(statuses.get(id) ?? '') === false)
        record.violation(`cancelling was answered ${answer}, but it is ${statuses.get(id)}`, id);
}

/** Every line that was accepted is there. */
export async function judgeSayings({ record, connections }: Stage): Promise<void> {
  const { rows } = await connections.control.pool.query<{ key: string; lines: number }>(
    `select command_id || '/' || attempt as key, count(*)::integer as lines
     from executor.command_logs group by 1`,
  );
  const stored = new Map(rows.map(({ key, lines }) => [key, lines]));
  for (const [key, lines] of record.lines)
    if ((stored.get(key) ?? 0) < lines)
      record.violation(`lines of ${key} are missing`, key.slice(0, 36));
}
