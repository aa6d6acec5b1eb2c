// The files of the embedded server: made once, kept from run to run.

import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, statSync } from 'node:fs';
import { mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { StartupError } from '../errors.ts';
import { giveTo, ownName, spawnAs, type Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { stopOrphans } from './orphans.ts';
import { run } from './run.ts';

/** A data directory and what works on it. */
export interface Cluster {
  /** Absolute. */
  dir: string;
  binaries: Binaries;
  account: Account;
  /** False gives up durability for speed, in tests. */
  isDurable: boolean;
}

export const SUPERUSER = 'postgres';

/** Passwords over the loopback interface, and no other way in. */
const HBA = 'host all all 127.0.0.1/32 scram-sha-256\n';

/**
 * Makes the cluster where there is none yet, and says whether it did. It grows beside its place and
 * is moved there when complete: whatever interrupts that leaves nothing in the way of the next try.
 */
export async function createCluster(cluster: Cluster): Promise<boolean> {
  const unfinished = `${cluster.dir}.new-`;
  await removeUnfinished(unfinished);
  if (existsSync(join(cluster.dir, 'PG_VERSION'))) {
    claim(cluster);
    return false;
  }
  await assertFree(cluster.dir);
  const dir = await mkdtemp(unfinished);
  try {
    giveTo(cluster.account, dir);
    await initdb({ ...cluster, dir });
    await writeFile(join(dir, 'pg_hba.conf'), HBA);
    await rename(dir, cluster.dir);
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
  return true;
}

/**
 * Gives the superuser a new password and answers it. In single-user mode this needs no password;
 * no server may run on the cluster meanwhile.
 */
export async function resetPassword(cluster: Cluster): Promise<string> {
  const password = randomBytes(24).toString('hex');
  const { succeeded, reason } = await run(
    cluster.binaries.postgres,
    ['--single', '-D', ownName(cluster.account, cluster.dir), 'template1'],
    {
      ...spawnAs(cluster.account, cluster.dir),
      input: `alter role ${SUPERUSER} login superuser password '${password}'\n`,
    },
  );
  if (succeeded) return password;
  throw new StartupError(`Cannot set the password of PostgreSQL in ${cluster.dir}: ${reason}`);
}

// An initdb whose launcher was killed may still be at work in one.
async function removeUnfinished(prefix: string): Promise<void> {
  const parent = dirname(prefix);
  for (const name of await readdir(parent)) {
    if (!name.startsWith(basename(prefix))) continue;
    await stopOrphans(join(parent, name));
    await rm(join(parent, name), { recursive: true, force: true });
  }
}

// Copied back from a backup by root, say: Postgres refuses files that are not its account's own.
function claim({ account, dir }: Cluster): void {
  if (!account || statSync(dir).uid === account.uid) return;
  chmodSync(dir, 0o700);
  giveTo(account, dir);
}

// An empty directory gives way to the rename.
async function assertFree(dir: string): Promise<void> {
  if (existsSync(dir) && (await readdir(dir)).length > 0)
    throw new StartupError(`${dir} is in the way: it is not empty, and not PostgreSQL's.`);
}

async function initdb(cluster: Cluster): Promise<void> {
  const { succeeded, reason } = await run(
    cluster.binaries.initdb,
    [
      `--pgdata=${ownName(cluster.account, cluster.dir)}`,
      `--username=${SUPERUSER}`,
      '--auth=reject',
      '--encoding=UTF8',
      '--locale=C',
      ...(cluster.isDurable ? [] : ['--no-sync']),
    ],
    spawnAs(cluster.account, cluster.dir),
  );
  if (!succeeded) throw new StartupError(`Cannot create ${cluster.dir}: ${reason}`);
}
