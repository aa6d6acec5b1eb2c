// What the demo says of the outcome: every figure is read from the ledger.

import type pg from 'pg';

export interface Progress {
  done: number;
  running: number;
  waiting: number;
  /** One letter an agent. */
  agents: string;
}

export async function progress(pool: pg.Pool): Promise<Progress> {
  const { rows } = await pool.query<Progress>(
    `select
       count(*) filter (where finished_at is not null)::int as done,
       count(*) filter (where status = 'RUNNING')::int as running,
       count(*) filter (where finished_at is null and status <> 'RUNNING')::int as waiting,
       (select string_agg(state, ' ' order by id) from executor.agent_states) as agents
     from executor.commands`,
  );
  return rows[0] ?? { done: 0, running: 0, waiting: 0, agents: '' };
}

/** A table that takes down what was done to whom and when, by the database's clock. */
export async function prepareFaults(pool: pg.Pool): Promise<void> {
  await pool.query(
    `create table demo_faults (
       at timestamptz not null default clock_timestamp(),
       what text not null,
       agent_id text,
       session uuid
     )`,
  );
}

export interface Suffering {
  what: string;
  agent: string | null;
  commands: number;
  seconds: number | null;
}

/**
 * Each fault: how many attempts it ended, and how long it took until all of these ran again; for the
 * database, until it gave out work again.
 */
export async function sufferings(pool: pg.Pool): Promise<Suffering[]> {
  const { rows } = await pool.query<Suffering>(
    `select
       f.what,
       f.agent_id as agent,
       count(ended.command_id)::int as commands,
       extract(epoch from case f.what
         when 'database' then (
           select min(started_at) - f.at
           from executor.command_attempts
           where started_at > pg_postmaster_start_time()
         )
         else max(again.started_at - f.at)
       end)::float8 as seconds
     from demo_faults f
     left join executor.command_attempts ended
       on ended.outcome in ('lost', 'unstarted')
       and ended.session = f.session
       and ended.started_at <= f.at
       and ended.finished_at >= f.at
     left join lateral (
       select min(next.started_at) as started_at
       from executor.command_attempts next
       where next.command_id = ended.command_id and next.attempt > ended.attempt
     ) as again on true
     group by f.at, f.what, f.agent_id
     order by f.at`,
  );
  return rows;
}

/** The attempts of commands that needed more than one, as one text each. */
export async function histories(pool: pg.Pool, most: number): Promise<string[]> {
  const { rows } = await pool.query<{ history: string }>(
    `select right(command_id::text, 12) || '  ' || string_agg(
       format('%s %s on %s', attempt, coalesce(outcome::text, 'running'), agent_id),
       '  →  '
       order by attempt
     ) as history
     from executor.command_attempts
     group by command_id
     having count(*) > 1
     order by count(*) desc, command_id
     limit $1`,
    [most],
  );
  return rows.map(({ history }) => history);
}

export interface Outcome {
  done: number;
  failed: number;
  /** Acknowledged, and not there or not finished. */
  lost: number;
  /** Finished commands whose result may have changed, or is not their latest attempt's. */
  overwritten: number;
  /** Promises of any sort that were broken. */
  broken: string[];
  /** How many commands needed more than one attempt. */
  suffered: number;
}

export async function outcome(pool: pg.Pool, acknowledged: string[]): Promise<Outcome> {
  const { rows } = await pool.query<Omit<Outcome, 'overwritten' | 'broken'>>(
    `select
       count(*) filter (where c.status = 'COMPLETED')::int as done,
       count(*) filter (where c.status in ('FAILED', 'CANCELLED'))::int as failed,
       count(*) filter (where c.finished_at is null)::int as lost,
       count(*) filter (where c.attempt > 1)::int as suffered
     from unnest($1::uuid[]) as told (id)
     left join executor.commands c using (id)`,
    [acknowledged],
  );
  const invariants = await pool.query<{ invariant: string; promise: string; violations: string }>(
    'select invariant, promise, violations from executor.invariants where violations <> 0',
  );
  const broken = invariants.rows;
  return {
    ...(rows[0] ?? { done: 0, failed: 0, lost: acknowledged.length, suffered: 0 }),
    overwritten: broken
      .filter(({ invariant }) => invariant === 'I4' || invariant === 'I6')
      .reduce((sum, { violations }) => sum + Number(violations), 0),
    broken: broken.map(({ invariant, promise }) => `${invariant}: ${promise}`),
  };
}
