// Agents as clients see them. Their sessions stay here: knowing one is what lets an agent report.

import type { InferResult, Kysely, NotNull } from 'kysely';
import type pg from 'pg';
import { ask } from './ask.ts';
import type { DB } from './schema.ts';

export const AGENT_STATES = ['idle', 'busy', 'draining', 'lost', 'gone'] as const;
export type AgentState = (typeof AGENT_STATES)[number];

/** Times are ISO 8601; what is not there is null. */
export interface AgentStatus {
  id: string;
  state: AgentState;
  /** How many commands it runs, as the ledger has it. */
  running: number;
  concurrency: number;
  lastBeatAt: string;
  registeredAt: string;
  lostAt: string | null;
  signedOffAt: string | null;
  host: string | null;
  pid: number | null;
  version: string | null;
  /** Where it looks, the one that it takes most from first, and what it can carry out. */
  queues: string[];
  types: string[];
  /** false: it never does, and its attempts' deadlines alone judge it. */
  beats: boolean;
  /** Since when it is asked to claim no more. */
  drainRequestedAt: string | null;
}

const MOST_COMMANDS = 1_000;

/** The agents after an id, by id. */
export async function listAgents(
  db: Kysely<DB>,
  query: { state?: AgentState; after?: string; limit: number },
): Promise<AgentStatus[]> {
  let select = selectAgents(db).orderBy('id').limit(query.limit);
  if (query.state) select = select.where('state', '=', query.state);
  if (query.after) select = select.where('id', '>', query.after);
  return (await select.execute()).map(toAgentStatus);
}

/** One agent, with the ids of what it runs now: the first thousand. */
export async function findAgent(
  db: Kysely<DB>,
  id: string,
): Promise<(AgentStatus & { commands: string[] }) | undefined> {
  const row = await selectAgents(db).where('id', '=', id).executeTakeFirst();
  if (!row) return undefined;
  const running = await db
    .selectFrom('executor.commands')
    .select('id')
    .where('status', '=', 'RUNNING')
    .where('agent_id', '=', id)
    .where('session', '=', row.session)
    .orderBy('id')
    .limit(MOST_COMMANDS)
    .execute();
  return { ...toAgentStatus(row), commands: running.map((command) => command.id) };
}

/** Asks an agent to claim no more, at once and until it is resumed; false: there is no such agent. */
export async function drainAgent(pool: pg.Pool, id: string): Promise<boolean> {
  return await ask(pool, 'select executor.drain_agent($1) as yes', [id]);
}

/** Lets it claim again; false: there is no such agent. */
export async function resumeAgent(pool: pg.Pool, id: string): Promise<boolean> {
  return await ask(pool, 'select executor.resume_agent($1) as yes', [id]);
}

/** How often agents are to beat, and after how long a silence one is lost. */
export async function readAgentTimes(
  pool: pg.Pool,
): Promise<{ intervalMs: number; lostAfterMs: number }> {
  const { rows } = await pool.query<{ intervalMs: number; lostAfterMs: number }>(
    `select
       (extract(epoch from beat_interval) * 1000)::integer as "intervalMs",
       (extract(epoch from lost_after) * 1000)::integer as "lostAfterMs"
     from executor.settings`,
  );
  const [times] = rows;
  if (!times) throw new Error('executor.settings has no row');
  return times;
}

/** Columns of a view: Postgres does not tell which of them are never null. */
function selectAgents(db: Kysely<DB>) {
  return db.selectFrom('executor.agent_states').selectAll().$narrowType<{
    id: NotNull;
    state: AgentState;
    session: NotNull;
    running: NotNull;
    concurrency: NotNull;
    beat_at: NotNull;
    registered_at: NotNull;
    queues: NotNull;
    types: NotNull;
    beats: NotNull;
  }>();
}

function toAgentStatus(row: InferResult<ReturnType<typeof selectAgents>>[number]): AgentStatus {
  return {
    id: row.id,
    state: row.state,
    running: row.running,
    concurrency: row.concurrency,
    lastBeatAt: row.beat_at.toISOString(),
    registeredAt: row.registered_at.toISOString(),
    lostAt: row.lost_at?.toISOString() ?? null,
    signedOffAt: row.signed_off_at?.toISOString() ?? null,
    host: row.host,
    pid: row.pid,
    version: row.version,
    queues: row.queues,
    types: row.types,
    beats: row.beats,
    drainRequestedAt: row.drain_requested_at?.toISOString() ?? null,
  };
}
