// What a server says to the database for agents that come over HTTP: for many of them at once.

import type pg from 'pg';
import { z } from 'zod';
import type { Answer, AttemptKey, Queryable, Report, Subscription } from './agents.ts';
import type { Command } from './command-json.ts';
import { readCommands } from './command-list.ts';
import type { Database } from './connect.ts';
import { queryPrepared } from './prepared.ts';

/** What an agent asks for; see sql/functions/claim_many.sql. */
export interface ClaimRequest extends Partial<Subscription> {
  agentId: string;
  /** Without one it is a simple client, which never beats. */
  session?: string;
  claimNo?: number;
  /** At most this many. */
  limit: number;
}

const ANSWERS = [
  'claimed',
  'draining',
  'superseded',
  'unknown_agent',
  'has_session',
  'busy',
] as const;

/** What came of it: `session`, `queues` and `types` are what the request comes down to. */
export interface ClaimAnswer extends Subscription {
  answer: (typeof ANSWERS)[number];
  session: string;
  commands: Command[];
  /** Whether there is work beyond its limit. */
  more: boolean;
}

const Row = z.object({
  answer: z.enum(ANSWERS),
  session: z.string().nullable(),
  queues: z.array(z.string()),
  types: z.array(z.string()),
  commands: z.array(z.object({ id: z.string(), attempt: z.number() })),
  more: z.boolean(),
});

/** Claims for many agents in one statement; answers in order. */
export async function claimMany(
  { pool, kysely }: Database,
  requests: ClaimRequest[],
): Promise<ClaimAnswer[]> {
  const text = 'select * from executor.claim_many($1) order by ordinal';
  const rows = await queryPrepared(pool, 'claim_many', text, [JSON.stringify(requests)]);
  const answers = z.array(Row).parse(rows);
  const claimed = answers.flatMap(({ commands }) => commands);
  const versions = claimed.length > 0 ? await readCommands(kysely, claimed.map(idOf)) : [];
  const byKey = new Map(versions.map(({ command }) => [keyOf(command), command]));
  return answers.map((answer) => ({
    ...answer,
    session: answer.session ?? '',
    // What is not the same attempt any more was taken back in the meantime.
    commands: answer.commands.flatMap((key) => {
      const command = byKey.get(keyOf(key));
      return command?.status === 'RUNNING' ? [command] : [];
    }),
  }));
}

/** Signs of life of agents, by id, whose long poll is open; answers who should look for work. */
export async function keepAlive(
  database: Queryable,
  sessions: ReadonlyMap<string, string>,
): Promise<string[]> {
  const { rows } = await database.query('select executor.keep_alive($1) as id', [
    JSON.stringify(Object.fromEntries(sessions)),
  ]);
  return z
    .array(z.object({ id: z.string() }))
    .parse(rows)
    .map(({ id }) => id);
}

/** The sessions that run these commands, in order; undefined where none does. */
export async function ownersOf(pool: pg.Pool, ids: string[]): Promise<(string | undefined)[]> {
  const { rows } = await pool.query<{ id: string; session: string }>(
    `select id, session from executor.commands where id = any ($1) and status::text = 'RUNNING'`,
    [ids],
  );
  const sessions = new Map(rows.map(({ id, session }) => [id, session]));
  return ids.map((id) => sessions.get(id));
}

/** Takes back what was claimed for a session whose agent never heard of it. */
export async function takeBack(
  pool: pg.Pool,
  session: string,
  claims: AttemptKey[],
): Promise<void> {
  await pool.query(`select executor.close_attempts($1, $2, 'unstarted')`, [
    session,
    JSON.stringify(claims.map(({ id, attempt }) => ({ id, attempt }))),
  ]);
}

/** An outcome from an agent that may know neither its session nor the attempt. */
export type ClientReport = WithoutAttempt<Report> & {
  agentId: string;
  attempt?: number;
  session?: string;
};

type WithoutAttempt<R> = R extends Report ? Omit<R, 'attempt'> : never;

/** Reports a batch of outcomes; answers in order. All or nothing when it throws. */
export async function finishForClients(pool: pg.Pool, reports: ClientReport[]): Promise<Answer[]> {
  const text = 'select answer from executor.finish_for_clients($1)';
  const values = [JSON.stringify(reports)];
  const rows = await queryPrepared<{ answer: Answer }>(pool, 'finish_for_clients', text, values);
  return rows.map(({ answer }) => answer);
}

function idOf({ id }: { id: string }): string {
  return id;
}

function keyOf({ id, attempt }: AttemptKey): string {
  return `${id} ${attempt}`;
}
