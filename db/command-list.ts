// Commands read back: a page of them, some of them, one with its attempts, its log.

import { sql, type Kysely } from 'kysely';
import {
  type Command,
  type CommandVersion,
  type PagePosition,
  selectCommands,
  toCommand,
  toVersion,
} from './command-json.ts';
import { pickPage, type PageQuery } from './command-walks.ts';
import { alongIndexes, inOrder } from './index-walk.ts';
import type { DB } from './schema.ts';

/** One page, newest first unless said; `next` is where the following page starts, if there may be one. */
export async function listCommands(
  db: Kysely<DB>,
  query: PageQuery,
): Promise<{ commands: CommandVersion[]; next?: PagePosition }> {
  const rows = await alongIndexes(db, async (connection) => {
    const page = await pickPage(connection, { ...query, limit: query.limit + 1 });
    return await selectCommands(connection, page).orderBy(inOrder(query.order)).execute();
  });
  const commands = rows.slice(0, query.limit).map(toVersion);
  const next = rows.length > query.limit ? commands.at(-1)?.position : undefined;
  return { commands, ...(next && { next }) };
}

/** Those of the commands that there are, in no order. */
export async function readCommands(db: Kysely<DB>, ids: string[]): Promise<CommandVersion[]> {
  const wanted = sql`select * from executor.commands where id = any (${ids}::uuid[])`;
  const rows = await selectCommands(db, wanted).execute();
  return rows.map(toVersion);
}

/** An attempt as clients see it; `outcome` is null while it runs. */
export interface Attempt {
  attempt: number;
  agentId: string | null;
  outcome: string | null;
  error: unknown;
  startedAt: string | null;
  finishedAt: string | null;
}

/** One command with its attempts, first to last. */
export async function findCommand(
  db: Kysely<DB>,
  id: string,
): Promise<(Command & { attempts: Attempt[] }) | undefined> {
  const wanted = sql`select * from executor.commands where id = ${id}`;
  const row = await selectCommands(db, wanted).executeTakeFirst();
  if (!row) return undefined;
  const attempts = await db
    .selectFrom('executor.command_attempts')
    .select(['attempt', 'agent_id', 'outcome', 'error', 'started_at', 'finished_at'])
    .where('command_id', '=', id)
    .orderBy('attempt')
    .execute();
  return {
    ...toCommand(row),
    attempts: attempts.map((attempt) => ({
      attempt: attempt.attempt ?? 0,
      agentId: attempt.agent_id,
      outcome: attempt.outcome,
      error: attempt.error,
      startedAt: attempt.started_at?.toISOString() ?? null,
      finishedAt: attempt.finished_at?.toISOString() ?? null,
    })),
  };
}

/** A line of a command's log. */
export interface LogLine {
  attempt: number;
  /** From 1 in each attempt. */
  no: number;
  /** When it came in, ISO 8601. */
  at: string;
  line: string;
}

/** The next lines of a command's log, in order; undefined when there is no such command. */
export async function readLog(
  db: Kysely<DB>,
  id: string,
  { limit, after }: { limit: number; after?: Pick<LogLine, 'attempt' | 'no'> },
): Promise<LogLine[] | undefined> {
  let select = db
    .selectFrom('executor.command_logs')
    .select(['attempt', 'line_no', 'logged_at', 'line'])
    .where('command_id', '=', id)
    .orderBy('attempt')
    .orderBy('line_no')
    .limit(limit);
  if (after)
    select = select.where(sql<boolean>`(attempt, line_no) > (${after.attempt}, ${after.no})`);
  const rows = await select.execute();
  if (rows.length === 0) {
    const known = db.selectFrom('executor.commands').select('id').where('id', '=', id);
    if (!(await known.executeTakeFirst())) return undefined;
  }
  return rows.map(({ attempt, line_no, logged_at, line }) => ({
    attempt,
    no: line_no,
    at: logged_at.toISOString(),
    line,
  }));
}
