// A PostgreSQL server of our own, for machines that have none: a child process on 127.0.0.1, with its
// files in a data directory and its address, password and all, in a file that only we can read.
//
// The flow: take the lock (one launcher a directory) → stop what a killed launcher left → initdb, the
// first time → a password, unless the saved one still fits → start → create the database.

import { mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { lockFile, type FileLock } from '../runtime/file-lock.ts';
import type { Logger } from '../runtime/log.ts';
import { accountFor } from './embedded/account.ts';
import { freePort, readSaved, save, urlFor } from './embedded/address.ts';
import { embeddedBinaries, runnableBinaries, type Binaries } from './embedded/binaries.ts';
import { createCluster, resetPassword, type Cluster } from './embedded/cluster.ts';
import { ensureDatabase } from './embedded/database.ts';
import { stopOrphans } from './embedded/orphans.ts';
import { startPostmaster, type Postmaster } from './embedded/postmaster.ts';
import { StartupError } from './errors.ts';

export interface PostgresOptions {
  /** The data directory, such as `data/postgres`. Its parent may hold other files. */
  dir: string;
  /** Where the URL is kept; without it every start draws a new password. */
  urlFile?: string;
  /** npm's, unless given. */
  binaries?: Binaries;
  /** Postgres's settings, over the defaults below. */
  settings?: Record<string, string>;
  log?: Logger;
  /** Gives up a start that is under way. */
  signal?: AbortSignal;
}

export interface PostgresServer {
  /** With its password. The same after a restart. */
  readonly url: string;
  /** Of the present postmaster, as is `exited`: how it ended. */
  readonly pid: number;
  readonly exited: Promise<string>;
  /** After it ended by itself: runs it again, at the same address. */
  restart(): Promise<void>;
  /** Ends it for good; `graceMs` (5 s) is what a fast shutdown may take before an immediate one. */
  stop(graceMs?: number): Promise<void>;
}

const GRACE_MS = 5_000;

/** For a machine that does other work too. Durable, as Postgres is by default. */
const SETTINGS = {
  // 64 agents of three connections, some servers, and people.
  max_connections: '250',
  shared_buffers: '256MB',
  jit: 'off',
};

/** @throws StartupError with one clear line when it cannot run here, or does already. */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const dir = resolve(options.dir);
  let lock: FileLock | undefined;
  try {
    mkdirSync(dirname(dir), { recursive: true, mode: 0o700 });
    lock = lockFile(`${dir}.lock`);
    if (!lock) throw new StartupError(`Another \`npm start\` is running on ${dirname(dir)}.`);
    const cluster = await clusterIn(dir, options);
    await stopOrphans(dir, options.log);
    return await open(cluster, lock, options);
  } catch (cause) {
    lock?.release();
    if (cause instanceof StartupError) throw cause;
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new StartupError(`Cannot run PostgreSQL in ${dir}: ${words}`, { cause });
  }
}

async function clusterIn(dir: string, options: PostgresOptions): Promise<Cluster> {
  const account = accountFor(dir);
  const found = options.binaries ?? (await embeddedBinaries());
  const binaries = await runnableBinaries(found, account);
  return { dir, binaries, account, isDurable: options.settings?.['fsync'] !== 'off' };
}

async function open(
  cluster: Cluster,
  lock: FileLock,
  options: PostgresOptions,
): Promise<PostgresServer> {
  const isNew = await createCluster(cluster);
  const saved = readSaved(options.urlFile);
  const port = await freePort(saved.port);
  const start = () =>
    startPostmaster(cluster, {
      port,
      settings: { ...SETTINGS, ...options.settings },
      log: options.log,
      signal: options.signal,
    });
  const kept = isNew ? undefined : saved.password;
  let url = urlFor(kept ?? (await resetPassword(cluster)), port);
  let postmaster = await start();
  try {
    if (!(await ensureDatabase(url))) {
      await postmaster.stop(GRACE_MS);
      url = urlFor(await resetPassword(cluster), port);
      postmaster = await start();
      await ensureDatabase(url);
    }
    if (options.urlFile) save(options.urlFile, url);
  } catch (error) {
    await postmaster.stop(GRACE_MS);
    throw error;
  }
  return new EmbeddedServer(url, postmaster, lock, async () => {
    await stopOrphans(cluster.dir, options.log);
    return start();
  });
}

class EmbeddedServer implements PostgresServer {
  readonly url: string;
  readonly #lock: FileLock;
  readonly #start: () => Promise<Postmaster>;
  #postmaster: Postmaster;
  #restarting: Promise<void> | undefined;

  constructor(
    url: string,
    postmaster: Postmaster,
    lock: FileLock,
    start: () => Promise<Postmaster>,
  ) {
    this.url = url;
    this.#postmaster = postmaster;
    this.#lock = lock;
    this.#start = start;
  }

  get pid(): number {
    return this.#postmaster.pid;
  }

  get exited(): Promise<string> {
    return this.#postmaster.exited;
  }

  async restart(): Promise<void> {
    this.#restarting = this.#start().then((postmaster) => {
      this.#postmaster = postmaster;
    });
    await this.#restarting;
  }

  async stop(graceMs = GRACE_MS): Promise<void> {
    await this.#restarting?.catch(() => {});
    await this.#postmaster.stop(graceMs);
    this.#lock.release();
  }
}
