// A server and an agent, as processes of their own.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface BenchProcess extends AsyncDisposable {
  /** What it said when it was ready: the server's URL, the agent's id. */
  ready: string;
  pid: number;
}

/** Starts `server/main.ts`, `agent/main.ts` or a worker, and waits until it is ready. */
export async function startProcess(
  main: 'server' | 'agent' | `bench/workers/${string}`,
  databaseUrl: string,
  env: NodeJS.ProcessEnv = {},
): Promise<BenchProcess> {
  const dataDir = await mkdtemp(join(tmpdir(), 'agent-executor-bench-data-'));
  const child = fork(
    join(import.meta.dirname, '..', main.includes('/') ? `${main}.ts` : `${main}/main.ts`),
    {
      env: {
        PATH: process.env['PATH'],
        DATABASE_URL: databaseUrl,
        DATA_DIR: dataDir,
        PORT: '0',
        ...env,
      },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    },
  );
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`${main} ended with ${String(code)} before it was ready`);
  });
  ended.catch(() => {});
  const [message] = (await Promise.race([once(child, 'message'), ended])) as [{ ready: string }];
  return {
    ready: message.ready,
    pid: child.pid ?? 0,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM');
      await once(child, 'exit');
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
