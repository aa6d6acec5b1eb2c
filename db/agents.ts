// What an agent says to the database: the calls of sql/functions that belong to a session.

import type { Client, Pool } from 'pg';
import { z } from 'zod';
import { queryPrepared } from './prepared.ts';

/** Anything that runs one statement: a pool, a client or a listener. */
export interface Queryable {
  query(text: string, values: unknown[]): Promise<{ rows: unknown[] }>;
}

/** Who an agent process is: the id outlives it, the session does not. */
export interface Identity {
  agentId: string;
  session: string;
}

/** What an agent claims. */
export interface Subscription {
  /** Where it looks; each gets twice the share of the next one. */
  queues: string[];
  /** What it can carry out. */
  types: string[];
}

export interface AgentInfo extends Subscription {
  concurrency: number;
  host: string | null;
  pid: number | null;
  version: string | null;
}

/** One attempt of one command. */
export interface AttemptKey {
  id: string;
  attempt: number;
}

/** An attempt that is given back. `started: false`: it only waited for a slot, and nothing was done. */
export interface GivenBack extends AttemptKey {
  started?: boolean;
}

/** Why an attempt failed, as the ledger keeps it. */
export interface CommandError {
  code: string;
  message: string;
  retryable: boolean;
}

/** An attempt's outcome on its way to the ledger. */
export type Report = AttemptKey &
  (
    | { outcome: 'completed'; result: unknown }
    | { outcome: 'failed' | 'timed_out' | 'cancelled'; error: CommandError }
  );

/** What became of a report or release: only `accepted` changed the ledger, now or before. */
export type Answer = 'accepted' | 'stale' | 'unknown';

/** What an attempt says while it runs; see sql/functions/report_progress.sql for the bounds. */
export interface ProgressReport extends AttemptKey {
  /** From 0 to 1; null: not known. It and the message replace what was said before. */
  progress?: number | null;
  message?: string | null;
  /** For the command's log, numbered from 1 within the attempt. */
  lines?: { no: number; line: string }[];
}

/** What became of a progress report; `busy`: nothing yet, say it again. */
export type ProgressAnswer = 'accepted' | 'stale' | 'busy';

/** Starts a session; answers how many commands an older session of this id had to give back. */
export async function registerAgent(
  database: Queryable,
  identity: Identity,
  info: AgentInfo,
): Promise<number> {
  const { rows } = await database.query(
    'select executor.register_agent($1, $2, $3, $4, $5, $6, $7, $8) as count',
    [
      identity.agentId,
      identity.session,
      info.concurrency,
      info.host,
      info.pid,
      info.version,
      info.queues,
      info.types,
    ],
  );
  return (
    z
      .array(z.object({ count: z.number() }))
      .length(1)
      .parse(rows)[0]?.count ?? 0
  );
}

/** Reports a batch of outcomes; answers in order. All or nothing when it throws. */
export async function finish(pool: Pool, session: string, reports: Report[]): Promise<Answer[]> {
  if (reports.every(isCompletion)) return await finishCompleted(pool, session, reports);
  const batch = reports.map((report) => ({ ...report, session }));
  const text = 'select answer from executor.finish($1)';
  return answers(await queryPrepared(pool, 'finish', text, [JSON.stringify(batch)]));
}

type Completion = Extract<Report, { outcome: 'completed' }>;

/** In an array, no result would be null. */
function isCompletion(report: Report): report is Completion {
  return report.outcome === 'completed' && report.result !== undefined;
}

async function finishCompleted(
  pool: Pool,
  session: string,
  reports: Completion[],
): Promise<Answer[]> {
  const byId = reports
    .map((report, index) => ({ ...report, index }))
    .toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const rows = await queryPrepared(
    pool,
    'finish_completed',
    'select index, answer from executor.finish_completed($1, $2, $3, $4)',
    [
      session,
      `{${byId.map(({ id }) => id).join(',')}}`,
      `{${byId.map(({ attempt }) => attempt).join(',')}}`,
      JSON.stringify(byId.map(({ result }) => result)),
    ],
  );
  const exceptions = new Map(
    Exceptions.parse(rows).map(({ index, answer }) => [byId[index]?.index, answer]),
  );
  return reports.map((_, index) => exceptions.get(index) ?? 'accepted');
}

/** Gives running commands back untouched; answers in order. */
export async function release(
  database: Queryable,
  session: string,
  claims: GivenBack[],
): Promise<Answer[]> {
  const { rows } = await database.query('select answer from executor.release($1, $2)', [
    session,
    JSON.stringify(claims),
  ]);
  return answers(rows);
}

/** Says how far attempts are, each at most once; answers in order. All or nothing when it throws. */
export async function reportProgress(
  database: Queryable,
  session: string,
  reports: ProgressReport[],
): Promise<ProgressAnswer[]> {
  const { rows } = await database.query('select answer from executor.report_progress($1, $2)', [
    session,
    JSON.stringify(reports),
  ]);
  return ProgressAnswers.parse(rows).map(({ answer }) => answer);
}

const BeatAnswer = z
  .object({
    superseded: z.boolean(),
    unknown: z.boolean(),
    revoked: z.array(z.string()),
    cancelled: z.array(z.string()),
    ready: z.boolean(),
    drain: z.boolean(),
    tick_due: z.boolean(),
    interval_ms: z.number(),
  })
  .transform(({ tick_due: tickDue, interval_ms: intervalMs, ...answer }) => ({
    ...answer,
    tickDue,
    intervalMs,
  }));

/** What an agent should know; see sql/functions/beat.sql. */
export type BeatAnswer = z.infer<typeof BeatAnswer>;

export interface Beat extends Subscription {
  /** Every attempt that the agent runs or has yet to report. */
  running: AttemptKey[];
  /** The highest claim number below which no claim's reply is outstanding. */
  settledClaimNo: number;
  /** It claims no more, and finishes what it runs. */
  draining: boolean;
}

/** An agent's sign of life; queues and types that are null are those that it registered. */
export async function beat(
  database: Queryable,
  identity: Identity,
  state: Omit<Beat, keyof Subscription | 'settledClaimNo'> & {
    settledClaimNo: number | null;
    queues: string[] | null;
    types: string[] | null;
  },
): Promise<BeatAnswer> {
  const { rows } = await database.query('select * from executor.beat($1, $2, $3, $4, $5, $6, $7)', [
    identity.agentId,
    identity.session,
    JSON.stringify(state.running),
    state.settledClaimNo,
    state.queues,
    state.draining,
    state.types,
  ]);
  return BeatAnswer.parse(rows[0]);
}

/**
 * Whether no pooler is between us and Postgres. Behind one, no lock of the session counts, and
 * `holdSession` must not be called.
 */
export async function connectsDirectly(connection: Client, identity: Identity): Promise<boolean> {
  // Its types do not know the process id that it was told; a pooler may tell none.
  const { processID } = connection as Client & { processID: number | null };
  const { rows } = await connection.query('select executor.connects_directly($1, $2, $3) as yes', [
    identity.agentId,
    identity.session,
    processID ?? 0,
  ]);
  return z.array(z.object({ yes: z.boolean() })).parse(rows)[0]?.yes ?? false;
}

/**
 * Ties the session's life to this connection, which must be a direct one. Answers false while another
 * connection holds the session's lock: ask again at the next beat.
 */
export async function holdSession(database: Queryable, identity: Identity): Promise<boolean> {
  const { rows } = await database.query('select executor.hold_session($1, $2) as held', [
    identity.agentId,
    identity.session,
  ]);
  return z.array(z.object({ held: z.boolean() })).parse(rows)[0]?.held ?? false;
}

/** A clean goodbye. */
export async function signOff(database: Queryable, identity: Identity): Promise<void> {
  await database.query('select executor.sign_off($1, $2)', [identity.agentId, identity.session]);
}

// Made once: zod compiles what checks an object when it first does so.
const ProgressAnswers = z.array(z.object({ answer: z.enum(['accepted', 'stale', 'busy']) }));
const Answer = z.enum(['accepted', 'stale', 'unknown']);
const Answers = z.array(z.object({ answer: Answer }));
const Exceptions = z.array(z.object({ index: z.number(), answer: Answer }));

function answers(rows: unknown[]): Answer[] {
  return Answers.parse(rows).map(({ answer }) => answer);
}
