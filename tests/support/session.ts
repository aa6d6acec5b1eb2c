// An agent's session without the agent: what the SQL functions see of one.

import { randomUUID } from 'node:crypto';
import { v7 } from 'uuid';
import {
  beat,
  finish,
  registerAgent,
  release,
  type AttemptKey,
  type BeatAnswer,
  type GivenBack,
} from '../../db/agents.ts';
import { submitCommands } from '../../db/commands.ts';
import { connect, type Database } from '../../db/connect.ts';
import { claim, type ClaimedCommand } from '../../db/claim.ts';
import { DEFAULT_QUEUE } from '../../db/work.ts';

export interface Session {
  agentId: string;
  session: string;
  /** The connection that claims, with the settings that claiming needs. */
  claims: Database;
  claim(limit?: number, claimNo?: number): Promise<ClaimedCommand[]>;
  complete(commands: AttemptKey[], result?: unknown): Promise<string[]>;
  fail(commands: AttemptKey[]): Promise<string[]>;
  report(commands: AttemptKey[], outcome: 'failed' | 'timed_out' | 'cancelled'): Promise<string[]>;
  release(commands: GivenBack[]): Promise<string[]>;
  beat(running?: AttemptKey[], settledClaimNo?: number): Promise<BeatAnswer>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What it claims unless a test says otherwise. */
export const SUBSCRIPTION = {
  queues: [DEFAULT_QUEUE],
  types: ['DELAY', 'HTTP_GET_JSON', 'HTTP_REQUEST'],
};

export const ERROR = { code: 'executor_error', message: 'no luck', retryable: false };

/** Registers an agent and opens what it claims with. */
export async function startSession(
  database: Database & { url: string },
  agentId = `agent-${randomUUID().slice(0, 8)}`,
): Promise<Session> {
  const session = randomUUID();
  const identity = { agentId, session };
  const claims = connect(database.url, { applicationName: 'test', max: 1 });
  const info = { concurrency: 10, host: 'test', pid: 1, version: '0', ...SUBSCRIPTION };
  await registerAgent(database.pool, identity, info);
  const report: Session['report'] = (commands, outcome) =>
    finish(
      database.pool,
      session,
      commands.map(({ id, attempt }) => ({ id, attempt, outcome, error: ERROR })),
    );
  return {
    ...identity,
    claims,
    claim: (limit = 10, claimNo = 1) =>
      claim(claims.pool, { ...SUBSCRIPTION, limit, claimNo, ...identity }),
    complete: (commands, result = { ok: true }) =>
      finish(
        database.pool,
        session,
        commands.map(({ id, attempt }) => ({ id, attempt, outcome: 'completed', result })),
      ),
    fail: (commands) => report(commands, 'failed'),
    report,
    release: (commands) => release(database.pool, session, commands),
    beat: (running = [], settledClaimNo = 0) =>
      beat(database.pool, identity, {
        running,
        settledClaimNo,
        ...SUBSCRIPTION,
        draining: false,
      }),
    [Symbol.asyncDispose]: async () => {
      await claims.close();
    },
  };
}

/** Submits `count` commands in one batch; answers their ids. */
export async function submit(
  database: Database,
  count = 1,
  payload: Record<string, unknown> = { ms: 0 },
): Promise<string[]> {
  const batch = Array.from({ length: count }, () => ({ id: v7(), type: 'DELAY', payload }));
  await submitCommands(database.pool, batch);
  return batch.map(({ id }) => id);
}

/** A command's row, as it is now. */
export async function row(database: Database, id: string | undefined) {
  return await database.kysely
    .selectFrom('executor.commands')
    .selectAll()
    .where('id', '=', id ?? '')
    .executeTakeFirstOrThrow();
}
