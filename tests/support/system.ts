// A server and agents as processes, on the test file's database; every test starts with an empty ledger.

import { rm } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { temporaryDirectory } from './postgres.ts';
import { startProgram, type Program } from './program.ts';

export interface Attempt {
  agent_id: string;
  attempt: number;
  outcome: string | null;
  started_at: Date;
}

export interface System {
  /** Starts one and waits until it works. */
  server(env?: NodeJS.ProcessEnv): Promise<Program>;
  agent(agentId: string, env?: NodeJS.ProcessEnv): Promise<Program>;
  /** How often agents beat, and after how long they count as lost. */
  settings(beatMs: number, lostAfterMs: number): Promise<void>;
  /** From now on it counts when an agent's lock goes: somebody ticks, and has done so for long. */
  watched(): Promise<void>;
  attempts(id: string | undefined): Promise<Attempt[]>;
  stateOf(agentId: string): Promise<string | undefined>;
}

/** Call it after `useDatabase`, and what it answers inside tests. */
export function useSystem(database: () => { url: string; pool: pg.Pool }): System {
  const programs: Program[] = [];
  let dataDir: string;
  const query = async <T>(text: string, values: unknown[] = []) =>
    (await database().pool.query(text, values)).rows as T[];

  beforeEach(async () => {
    dataDir = await temporaryDirectory();
    await query('truncate executor.commands, executor_queue.job cascade');
    await query('truncate executor.agents');
  });
  afterEach(async () => {
    for (const program of programs.splice(0)) await program[Symbol.asyncDispose]();
    await rm(dataDir, { recursive: true, force: true });
  });

  const start = async (main: 'server' | 'agent', env: NodeJS.ProcessEnv) => {
    const DATABASE_URL = database().url;
    const program = startProgram(main, { DATABASE_URL, DATA_DIR: dataDir, ...env });
    programs.push(program);
    await program.ready;
    return program;
  };

  return {
    server: (env = {}) => start('server', env),
    agent: (agentId, env = {}) => start('agent', { AGENT_ID: agentId, ...env }),
    settings: async (beatMs, lostAfterMs) =>
      void (await query(
        `update executor.settings
         set beat_interval = $1 * interval '1 ms', lost_after = $2 * interval '1 ms'`,
        [beatMs, lostAfterMs],
      )),
    watched: async () => {
      await vi.waitFor(
        async () =>
          expect(
            await query(
              `select from executor.clock
               where isfinite(watching_since) and ticked_at > now() - interval '2 s'`,
            ),
          ).toHaveLength(1),
        { timeout: 5_000 },
      );
      await query(`update executor.clock set watching_since = now() - interval '1 minute'`);
    },
    attempts: (id) =>
      query<Attempt>(
        `select agent_id, attempt, outcome, started_at
         from executor.command_attempts
         where command_id = $1
         order by attempt`,
        [id],
      ),
    stateOf: async (agentId) =>
      (
        await query<{ state: string }>('select state from executor.agent_states where id = $1', [
          agentId,
        ])
      )[0]?.state,
  };
}

/** Waits for as long as the test says: for what only time can bring about. */
export async function elapse(ms: number): Promise<void> {
  await pause(ms);
}
