import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { Client } from 'pg';
import { pino, type Logger } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { embeddedBinaries, type Binaries } from '../../db/embedded/binaries.ts';
import { stopOrphans } from '../../db/embedded/orphans.ts';
import { startPostgres, type PostgresServer } from '../../db/embedded.ts';
import { findPostgres15, temporaryDirectory, THROWAWAY } from '../support/postgres.ts';
import { isAlive, run, type Running, type RunOptions } from '../support/process.ts';

const LAUNCHER = join(import.meta.dirname, '../support/launch-postgres.ts');
const NOBODY = { uid: 65_534, gid: 65_534 };
const isRoot = process.getuid?.() === 0;

/** A cluster as initdb makes it, made once: most tests start from a copy. */
let template: string;
let dataDir: string;
let dir: string;
let urlFile: string;
const servers: PostgresServer[] = [];
const launchers: Running[] = [];

beforeAll(async () => {
  template = join(await temporaryDirectory(), 'postgres');
  const server = await startPostgres({ dir: template, settings: THROWAWAY });
  await server.stop();
});

afterAll(() => rmSync(dirname(template), { recursive: true, force: true }));

beforeEach(async () => {
  dataDir = join(await temporaryDirectory(), 'data');
  dir = join(dataDir, 'postgres');
  urlFile = join(dataDir, 'database-url');
});

afterEach(async () => {
  for (const launcher of launchers.splice(0)) {
    launcher.kill('SIGKILL');
    await launcher.exited;
  }
  for (const server of servers.splice(0)) await server.stop();
  await stopOrphans(dir);
  rmSync(dirname(dataDir), { recursive: true, force: true });
});

async function start(options: { binaries?: Binaries; log?: Logger } = {}) {
  if (!existsSync(dataDir)) copyTemplate();
  const server = await startPostgres({ dir, urlFile, settings: THROWAWAY, ...options });
  servers.push(server);
  return server;
}

function copyTemplate(): void {
  mkdirSync(dataDir, { mode: 0o700 });
  cpSync(template, dir, { recursive: true });
  chmodSync(dir, 0o700);
}

function launch(options: RunOptions = {}): Running {
  if (!existsSync(dataDir)) copyTemplate();
  const launcher = run(LAUNCHER, [dataDir], options);
  launchers.push(launcher);
  return launcher;
}

/** Starts a launcher and kills it without a chance to clean up; answers the pid of its Postgres. */
async function launchAndKill(): Promise<number> {
  const launcher = launch();
  const [, pid] = await launcher.printed(/^(\d+) postgres/);
  launcher.kill('SIGKILL');
  await launcher.exited;
  return Number(pid);
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' });
    return rows.flat();
  } finally {
    await client.end();
  }
}

function initdbRuns(): boolean {
  return readdirSync(dataDir).some(
    (name) => name.includes('.new-') && existsSync(join(dataDir, name, 'base')),
  );
}

function forget(server: PostgresServer): void {
  servers.splice(servers.indexOf(server), 1);
}

async function stop(server: PostgresServer): Promise<void> {
  forget(server);
  await server.stop();
}

const write = (url: string) => query(url, 'create table kept as select 42 as answer');
const read = (url: string) => query(url, 'select answer from kept');

describe('from run to run', () => {
  test('keeps its data, its port and its password', async () => {
    const first = await start();
    await write(first.url);
    await stop(first);
    const second = await start();
    expect(second.url).toBe(first.url);
    expect(await read(second.url)).toEqual([42]);
  });

  test('takes another port when its own is taken', async () => {
    const first = await start();
    await stop(first);
    const squatter = createServer().listen(Number(new URL(first.url).port), '127.0.0.1');
    await once(squatter, 'listening');
    const second = await start();
    squatter.close();
    expect(new URL(second.url).port).not.toBe(new URL(first.url).port);
    expect(readFileSync(urlFile, 'utf8').trim()).toBe(second.url);
  });

  test.each([
    ['is lost', () => rmSync(urlFile)],
    [
      'has a wrong password',
      () => writeFileSync(urlFile, readFileSync(urlFile, 'utf8').replace(/:\w+@/, ':x@')),
    ],
    ['is damaged', () => writeFileSync(urlFile, 'what?')],
  ])('draws a new password when the file with the URL %s', async (_, damage) => {
    const first = await start();
    await write(first.url);
    await stop(first);
    damage();
    expect(await read((await start()).url)).toEqual([42]);
  });

  test('creates its database again when somebody dropped it', async () => {
    const first = await start();
    await query(first.url.replace('/agent_executor', '/postgres'), 'drop database agent_executor');
    await stop(first);
    expect(await query((await start()).url, 'select 1')).toEqual([1]);
  });

  test('runs again at the same address after it died', async () => {
    const server = await start();
    await write(server.url);
    const { pid } = server;
    process.kill(pid, 'SIGKILL');
    expect(await server.exited).toBe('signal SIGKILL');
    await server.restart();
    expect(server.pid).not.toBe(pid);
    expect(await read(server.url)).toEqual([42]);
  });

  test.runIf(findPostgres15())('works with PostgreSQL 15 as well', async () => {
    // It walks to its working directory by name, so its account must be able to.
    mkdirSync(dataDir, { mode: 0o755 });
    const server = await start({ binaries: findPostgres15()! });
    expect(await query(server.url, "select current_setting('server_version_num')")).toEqual([
      expect.stringMatching(/^15/),
    ]);
  });
});

describe('is kept private', () => {
  test('in a file that only its owner reads', async () => {
    const server = await startPostgres({ dir, urlFile, settings: THROWAWAY });
    servers.push(server);
    expect(readFileSync(urlFile, 'utf8').trim()).toBe(server.url);
    expect(statSync(urlFile).mode & 0o777).toBe(0o600);
    expect(statSync(dataDir).mode & 0o777).toBe(0o700);
  });

  test('from everyone without the password, and from other machines', async () => {
    const { url } = await start();
    const guess = url.replace(/:[0-9a-f]+@/, ':guess@');
    await expect(query(guess, 'select 1')).rejects.toThrow('password authentication failed');
    const shown = await query(
      url,
      "select setting from pg_settings where name ~ '^(listen|unix_s.*ies)'",
    );
    expect(shown).toEqual(['127.0.0.1', '']);
  });

  test('in its logs, at every level', async () => {
    let logged = '';
    const sink = new Writable({
      write(chunk, _, done) {
        logged += String(chunk);
        done();
      },
    });
    const server = await start({ log: pino({ level: 'trace' }, sink) });
    const { password } = new URL(server.url);
    await query(server.url, `alter role postgres passwort '${password}'`).catch(() => {});
    await stop(server);
    expect(logged).toContain('database system is ready');
    expect(logged).toContain('unrecognized role option');
    expect(logged).not.toContain(password);
  });
});

describe('after a launcher that was killed', () => {
  test('stops the server that it left, and starts on the same files', async () => {
    const launcher = launch();
    const [, pid, url] = await launcher.printed(/^(\d+) (\S+)/);
    await write(url!);
    launcher.kill('SIGKILL');
    await launcher.exited;
    expect(isAlive(Number(pid))).toBe(true);
    const server = await start();
    expect(isAlive(Number(pid))).toBe(false);
    expect(server.url).toBe(url);
    expect(await read(server.url)).toEqual([42]);
  });

  test('starts when the server was killed too', async () => {
    const pid = await launchAndKill();
    process.kill(pid, 'SIGKILL');
    expect(existsSync(join(dir, 'postmaster.pid'))).toBe(true);
    expect(await query((await start()).url, 'select 1')).toEqual([1]);
  });

  test('is not held up by a stranger with the pid of the old server', async () => {
    const pid = await launchAndKill();
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false));
    const stranger = spawn('sleep', ['60']);
    const lockFile = join(dir, 'postmaster.pid');
    const lines = readFileSync(lockFile, 'utf8').split('\n');
    writeFileSync(lockFile, [stranger.pid, ...lines.slice(1)].join('\n'));
    const server = await start();
    expect(await query(server.url, 'select 1')).toEqual([1]);
    expect(isAlive(stranger.pid!)).toBe(true);
    stranger.kill();
  });

  test('starts afresh when it was killed amid initdb', async () => {
    mkdirSync(dataDir);
    const launcher = launch();
    await vi.waitFor(() => expect(initdbRuns()).toBe(true), {
      timeout: 10_000,
      interval: 5,
    });
    launcher.kill('SIGKILL');
    await launcher.exited;
    expect(existsSync(dir)).toBe(false);
    expect(await query((await start()).url, 'select 1')).toEqual([1]);
  });

  test('refuses to start beside a launcher that lives', async () => {
    const launcher = launch();
    const [, pid] = await launcher.printed(/^(\d+) postgres/);
    await expect(start()).rejects.toThrow(`Another \`npm start\` is running on ${dataDir}.`);
    expect(isAlive(Number(pid))).toBe(true);
  });

  test('leaves no server when the launcher ended in a hurry', async () => {
    const launcher = launch();
    const [, pid] = await launcher.printed(/^(\d+) postgres/);
    launcher.kill('SIGHUP');
    await launcher.exited;
    await vi.waitFor(() => expect(isAlive(Number(pid))).toBe(false), { timeout: 5_000 });
  });
});

describe('in all kinds of places', () => {
  test('refuses a directory that is not its own, and leaves it as it was', async () => {
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'thesis.txt'), 'irreplaceable');
    await expect(start()).rejects.toThrow('is in the way');
    expect(readdirSync(dir)).toEqual(['thesis.txt']);
    expect(readdirSync(dataDir).sort()).toEqual(['postgres', 'postgres.lock']);
  });

  test('says what Postgres says when it cannot start', async () => {
    await stop(await start());
    writeFileSync(join(dir, 'PG_VERSION'), '9.1\n');
    await expect(start()).rejects.toThrow(/FATAL: +database files are incompatible.*version 9.1/);
  });

  test.runIf(isRoot)('runs as an unprivileged user though started by root', async () => {
    copyTemplate(); // All of it root's, as after a backup.
    writeFileSync(join(dataDir, 'other'), '');
    const server = await start();
    expect(statSync(`/proc/${server.pid}`).uid).not.toBe(0);
    expect(readFileSync(`/proc/${server.pid}/status`, 'utf8')).toMatch(/^Groups:\s*$/m);
    expect(statSync(dataDir)).toMatchObject({ uid: 0, mode: 0o40700 });
  });

  test.runIf(isRoot)('runs as an ordinary user', async () => {
    mkdirSync(dataDir, { mode: 0o700 });
    chownSync(dataDir, NOBODY.uid, NOBODY.gid);
    const launcher = launch(NOBODY);
    const [, pid, url] = await launcher.printed(/^(\d+) (\S+)/);
    expect(statSync(`/proc/${pid}`).uid).toBe(NOBODY.uid);
    await write(url!);
    launcher.kill('SIGKILL');
    await launcher.exited;
    const [, , again] = await launch(NOBODY).printed(/^(\d+) (\S+)/);
    expect(await read(again!)).toEqual([42]);
  });

  test.runIf(isRoot)('says in one line that the files are of another user', async () => {
    copyTemplate();
    const launcher = launch(NOBODY);
    expect(await launcher.exited).toEqual({ code: 1, signal: null });
    expect(launcher.stderr()).toMatch(/^Cannot run PostgreSQL in .*\n$/);
  });

  test.runIf(isRoot)(
    'copies programs that only root can reach, and trusts no other copy',
    async () => {
      const hidden = join(dirname(dataDir), 'hidden');
      mkdirSync(hidden, { mode: 0o700 });
      const { postgres } = await embeddedBinaries();
      cpSync(dirname(dirname(postgres)), hidden, { recursive: true, verbatimSymlinks: true });
      const binaries = {
        initdb: join(hidden, 'bin', 'initdb'),
        postgres: join(hidden, 'bin', 'postgres'),
      };
      chmodSync(binaries.postgres, 0o644);
      vi.stubEnv('TMPDIR', dirname(dataDir));
      try {
        await stop(await start({ binaries }));
        const copies = readdirSync(dirname(dataDir)).filter((name) => name.includes('-postgres-'));
        expect(copies).toHaveLength(1);
        await stop(await start({ binaries }));
        chmodSync(join(dirname(dataDir), copies[0]!), 0o777);
        await expect(start({ binaries })).rejects.toThrow("is not root's alone");
        expect(statSync(hidden).mode & 0o777).toBe(0o700);
      } finally {
        vi.unstubAllEnvs();
      }
    },
  );
});
