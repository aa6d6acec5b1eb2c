// A run in words: one line of figures, and what happened to the commands that show a violation.

import type pg from 'pg';
import type { ChaosRun } from './run.ts';

const MOST_SHOWN = 10;

export async function summary(pool: pg.Pool, run: ChaosRun): Promise<string> {
  const { rows } = await pool.query<{ attempts: string; statuses: string }>(
    `select
       (select string_agg(format('%s %s', times, outcome), ', ' order by times desc)
        from (
          select outcome, count(*) as times from executor.command_attempts group by outcome
        ) as outcomes) as attempts,
       (select string_agg(format('%s %s', times, status), ', ' order by times desc)
        from (
          select status, count(*) as times from executor.commands group by status
        ) as commands) as statuses`,
  );
  const kinds = Object.entries(Object.groupBy(run.faults, ({ kind }) => kind));
  const faults = kinds.map(([kind, struck]) => `${struck.length} ${kind}`).join(', ');
  const { acknowledged, unknown } = run.submissions;
  return (
    `${acknowledged.size} acknowledged, ${unknown} without an answer: ${rows[0]?.statuses}; ` +
    `faults: ${faults}; attempts: ${rows[0]?.attempts}; ` +
    `${run.hits.length} HTTP executions; healed in ${seconds(run.healedInMs)}, ` +
    `all done ${seconds(run.doneInMs)} later; ` +
    `${run.violations.length} violations`
  );
}

/** Each violation with its command's whole history. */
export async function details(pool: pg.Pool, run: ChaosRun): Promise<string> {
  const lines: string[] = [];
  for (const { invariant, what, id } of run.violations.slice(0, MOST_SHOWN)) {
    lines.push(`${invariant}: ${what}`);
    if (id) lines.push(...(await history(pool, run, id)));
  }
  if (run.violations.length > MOST_SHOWN) lines.push(`… and more than these ${MOST_SHOWN}`);
  return lines.join('\n');
}

async function history(pool: pg.Pool, run: ChaosRun, id: string): Promise<string[]> {
  const command = await pool.query<{ text: string }>(
    'select to_jsonb(c)::text as text from executor.commands c where id = $1',
    [id],
  );
  const attempts = await pool.query<{ text: string }>(
    `select to_jsonb(a)::text as text
     from executor.command_attempts a
     where command_id = $1
     order by attempt`,
    [id],
  );
  const hits = run.hits.filter(({ commandId }) => commandId === id);
  return [...command.rows, ...attempts.rows]
    .map(({ text }) => `  ${text}`)
    .concat(hits.map((hit) => `  executed: ${JSON.stringify(hit)}`));
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
