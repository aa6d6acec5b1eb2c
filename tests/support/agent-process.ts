// Agents as processes of their own, that share a data directory and are gone after each test.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { temporaryDirectory } from './postgres.ts';
import { run, type Running } from './process.ts';

const MAIN = join(import.meta.dirname, '../../agent/main.ts');
const READY = /"session":"([0-9a-f-]+)".*"msg":"ready"/;

export interface AgentProcesses {
  dataDir: () => string;
  start: (env?: NodeJS.ProcessEnv, args?: string[]) => Running;
  /** Starts one and waits until it works. */
  ready: (env?: NodeJS.ProcessEnv, args?: string[]) => Promise<{ agent: Running; agentId: string }>;
}

export function useAgentProcesses(database: () => { url: string }): AgentProcesses {
  const agents: Running[] = [];
  let dataDir: string;

  beforeEach(async () => {
    dataDir = await temporaryDirectory();
  });

  afterEach(async () => {
    for (const agent of agents.splice(0)) {
      agent.kill('SIGKILL');
      await agent.exited;
    }
    rmSync(dataDir, { recursive: true });
  });

  const start = (env: NodeJS.ProcessEnv = {}, args: string[] = []) => {
    const agent = run(MAIN, args, {
      env: { DATABASE_URL: database().url, DATA_DIR: dataDir, ...env },
    });
    agents.push(agent);
    return agent;
  };

  const ready = async (env?: NodeJS.ProcessEnv, args?: string[]) => {
    const agent = start(env, args);
    await agent.printed(READY);
    const [, agentId = ''] = await agent.printed(/"agentId":"([^"]+)"/);
    return { agent, agentId };
  };

  return { dataDir: () => dataDir, start, ready };
}
