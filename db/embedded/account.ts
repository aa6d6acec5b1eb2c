// Whom Postgres runs as. It refuses root, and containers are root: there it runs as an unprivileged
// account that exists anyway.
//
// That account can traverse neither a DATA_DIR of mode 0700 nor a clone below /root, and their modes
// are not ours to change. It need not: a child enters its working directory while it is still root,
// and names it /proc/self/cwd ever after.

import type { SpawnOptions } from 'node:child_process';
import { lchownSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { StartupError } from '../errors.ts';

/** Who Postgres runs as; undefined means ourselves. */
export type Account = { uid: number; gid: number } | undefined;

const ROOT = 0;

/** Only what Postgres needs: PG… variables of the user's would change what it does. */
const ENVIRONMENT = { LC_ALL: 'C', TZ: 'UTC', PATH: '/usr/local/bin:/usr/bin:/bin' };

/** The account for a data directory: that of its owner, so that every start finds the same one. */
export function accountFor(dataDir: string): Account {
  if (process.getuid?.() !== ROOT) return undefined;
  const owner = statSync(dataDir, { throwIfNoEntry: false });
  if (owner && owner.uid !== ROOT) return { uid: owner.uid, gid: owner.gid };
  const account = lookUp('postgres') ?? lookUp('nobody');
  if (account) return account;
  throw new StartupError(
    'PostgreSQL does not run as root, and there is no user postgres or nobody: set DATABASE_URL.',
  );
}

/** Gives a directory and all that it holds to the account. */
export function giveTo(account: Account, path: string): void {
  if (!account) return;
  lchownSync(path, account.uid, account.gid);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) giveTo(account, child);
    else lchownSync(child, account.uid, account.gid);
  }
}

/** How to start a process of Postgres in `dir`, out of reach of the terminal's Ctrl-C. */
export function spawnAs(account: Account, dir: string): SpawnOptions {
  return { cwd: dir, env: ENVIRONMENT, detached: true, windowsHide: true, ...account };
}

/** What such a process calls its working directory. */
export function ownName(account: Account, dir: string): string {
  return account && process.platform === 'linux' ? '/proc/self/cwd' : dir;
}

function lookUp(name: string): Account {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [user, , uid, gid] = line.split(':');
    if (user === name && Number(uid) > ROOT) return { uid: Number(uid), gid: Number(gid) };
  }
  return undefined;
}
