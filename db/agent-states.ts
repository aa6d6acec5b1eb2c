// Agents as clients see them. Their sessions stay here: knowing one is what lets an agent report.

import type { InferResult, Kysely, NotNull } from 'kysely';
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
  };
}
