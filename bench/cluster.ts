// A throwaway PostgreSQL, durable as in production, in a temporary directory.

import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Binaries } from '../db/embedded/binaries.ts';
import { startPostgres } from '../db/embedded.ts';

export interface Cluster extends AsyncDisposable {
  url: string;
  pid(): number;
  /** Ends it as `pg_ctl restart` does, and starts it again at the same address. */
  restart(): Promise<void>;
}

const open = new Set<Cluster>();

/** For whoever is interrupted: nothing is to be left behind. */
export async function stopClusters(): Promise<void> {
  await Promise.all(Array.from(open, (cluster) => cluster[Symbol.asyncDispose]()));
}

/** @param binaries npm's, unless given. */
export async function startCluster(
  binaries?: Binaries,
  settings: Record<string, string> = {},
): Promise<Cluster> {
  const home = await mkdtemp(join(tmpdir(), 'agent-executor-bench-'));
  await chmod(home, 0o755);
  const server = await startPostgres({
    dir: join(home, 'postgres'),
    settings,
    ...(binaries && { binaries }),
  });
  const cluster: Cluster = {
    url: server.url,
    pid: () => server.pid,
    restart: async () => {
      const ended = server.exited;
      process.kill(server.pid, 'SIGINT');
      await ended;
      await server.restart();
    },
    [Symbol.asyncDispose]: async () => {
      if (!open.delete(cluster)) return;
      await server.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
  open.add(cluster);
  return cluster;
}
