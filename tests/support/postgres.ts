// A throwaway PostgreSQL for tests: npm's 18, or Debian's 15, in a temporary directory.

import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Binaries } from '../../db/embedded/binaries.ts';
import { startPostgres } from '../../db/embedded.ts';

export interface TestPostgres {
  url: string;
  /** Ends it as a crash does (`immediate` mode) and starts it again; resolves when it is back. */
  crash(): Promise<void>;
  /** Ends the server and removes its files. */
  stop(): Promise<void>;
}

/** Quick, and still in one piece when a process is killed: only a power cut would hurt it. */
export const THROWAWAY = { fsync: 'off', full_page_writes: 'off', max_wal_size: '4GB' };

const DEBIAN_15 = '/usr/lib/postgresql/15/bin';

export async function startTestPostgres(
  binaries?: Binaries,
  settings: Record<string, string> = {},
): Promise<TestPostgres> {
  const parent = await temporaryDirectory();
  try {
    const server = await startPostgres({
      dir: join(parent, 'postgres'),
      settings: { ...THROWAWAY, ...settings },
      ...(binaries && { binaries }),
    });
    return {
      url: server.url,
      crash: async () => {
        const crashed = server.exited;
        process.kill(server.pid, 'SIGQUIT');
        await crashed;
        await server.restart();
      },
      stop: async () => {
        await server.stop();
        await rm(parent, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(parent, { recursive: true, force: true });
    throw error;
  }
}

/** Where PostgreSQL 15 is installed, for the tests that run on it too. */
export function findPostgres15(): Binaries | undefined {
  const binaries = { initdb: join(DEBIAN_15, 'initdb'), postgres: join(DEBIAN_15, 'postgres') };
  return existsSync(binaries.initdb) && existsSync(binaries.postgres) ? binaries : undefined;
}

/** With a mode that lets Postgres's account in: PostgreSQL 15 walks to its directory by name. */
export async function temporaryDirectory(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'agent-executor-test-'));
  await chmod(dir, 0o755);
  return dir;
}
