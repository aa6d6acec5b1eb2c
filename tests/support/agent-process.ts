// Agents as processes of their own, that share a data directory and are gone after each test. In the
// project `over-http` they reach the ledger through a server, unless the test says how.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach } from 'vitest';
import type { Database } from '../../db/connect.ts';
import { isOverHttp } from './agent.ts';
import { temporaryDirectory } from './postgres.ts';
import { run, type Running } from './process.ts';
import { startServer, type RunningServer } from './server.ts';
import { startTicker } from './ticker.ts';

const MAIN = join(import.meta.dirname, '../../agent/main.ts');
const READY = /"session":"([0-9a-f-]+)".*"msg":"ready"/;

export interface AgentProcesses {
  dataDir: () => string;
  start: (env?: NodeJS.ProcessEnv, args?: string[]) => Running;
  /** Starts one and waits until it works. */
  ready: (env?: NodeJS.ProcessEnv, args?: string[]) => Promise<{ agent: Running; agentId: string }>;
}

export function useAgentProcesses(database: () => Database & { url: string }): AgentProcesses {
  const agents: Running[] = [];
  const servers = new AsyncDisposableStack();
  let server: RunningServer | undefined;
  let dataDir: string;

  beforeEach(async () => {
    dataDir = await temporaryDirectory();
    if (!isOverHttp() || server) return;
    server = servers.use(await startServer(database()));
    servers.use(await startTicker(database()));
  });

  afterAll(() => servers.disposeAsync());

  afterEach(async () => {
    for (const agent of agents.splice(0)) {
      agent.kill('SIGKILL');
      await agent.exited;
    }
    rmSync(dataDir, { recursive: true });
  });

  const start = (env: NodeJS.ProcessEnv = {}, args: string[] = []) => {
    const ledger = server ? { SERVER_URL: server.url } : { DATABASE_URL: database().url };
    const agent = run(MAIN, args, { env: { ...ledger, DATA_DIR: dataDir, ...env } });
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
