import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { TEMPLATE } from '../support/global-setup.ts';
import { temporaryDirectory } from '../support/postgres.ts';
import { run, type Running } from '../support/process.ts';

const ROOT = join(import.meta.dirname, '../..');
const READY = /^Ready: (http:\S+)\nDatabase: (.+)$/m;

let dataDir: string;
const launchers: Running[] = [];
const databases: (() => Promise<void>)[] = [];

beforeEach(async () => {
  dataDir = join(await temporaryDirectory(), 'data');
});

afterEach(async () => {
  for (const launcher of launchers.splice(0)) {
    launcher.kill('SIGKILL');
    await launcher.exited;
  }
  for (const pid of processes()) kill(pid, 'SIGKILL');
  await nothingIsLeft();
  for (const drop of databases.splice(0)) await drop();
  rmSync(join(dataDir, '..'), { recursive: true, force: true });
});

function start(env: NodeJS.ProcessEnv = {}): Running {
  const launcher = run(join(ROOT, 'start.ts'), [], {
    env: { DATA_DIR: dataDir, PORT: '0', ...env },
  });
  launchers.push(launcher);
  return launcher;
}

async function startAndWait(env: NodeJS.ProcessEnv = {}) {
  const launcher = start(env);
  const [, url, psql] = await launcher.printed(READY);
  return { launcher, url: url!, psql: psql! };
}

/** A database elsewhere, for what has nothing to do with the embedded one: that saves a second. */
async function elsewhere(): Promise<{ DATABASE_URL: string }> {
  const { url, drop } = await createDatabase(TEMPLATE);
  databases.push(drop);
  return { DATABASE_URL: url };
}

/** Starts in vain; answers what it said and that nothing remains. */
async function startInVain(env: NodeJS.ProcessEnv): Promise<string> {
  const launcher = start(env);
  expect(await launcher.exited).toEqual({ code: 1, signal: null });
  expect(processes()).toEqual([]);
  expect(launcher.stderr()).toMatch(/^.+\n$/);
  return launcher.stderr();
}

/** All processes of the data directory: launcher, server, agents and those of Postgres. */
function processes(program = ''): number[] {
  const own = `DATA_DIR=${dataDir}\0`;
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return false;
        const isOurs =
          readFileSync(`/proc/${pid}/environ`, 'utf8').includes(own) ||
          readlinkSync(`/proc/${pid}/cwd`).startsWith(dataDir);
        return isOurs && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(program);
      } catch {
        return false;
      }
    });
}

function kill(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    process.kill(pid!, signal);
  } catch {
    // It ended by itself.
  }
}

async function nothingIsLeft(): Promise<void> {
  await vi.waitFor(() => expect(processes()).toEqual([]), { timeout: 8_000, interval: 50 });
}

function postmaster(): number {
  return Number.parseInt(readFileSync(join(dataDir, 'postgres/postmaster.pid'), 'utf8'), 10);
}

function urlInFile(): string {
  return readFileSync(join(dataDir, 'database-url'), 'utf8').trim();
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new Client(url);
  await client.connect();
  try {
    const { rows } = await client.query<unknown[]>({ text, rowMode: 'array' });
    return rows.flat();
  } finally {
    await client.end();
  }
}

async function isHealthy(url: string): Promise<boolean> {
  return fetch(`${url}/health`).then(
    (answer) => answer.ok,
    () => false,
  );
}

const becomesHealthy = (url: string) =>
  vi.waitFor(async () => expect(await isHealthy(url)).toBe(true), { timeout: 10_000 });

describe('npm start', () => {
  test('says where the server and the database are, once everything is ready', async () => {
    const { launcher, url, psql } = await startAndWait();
    expect(await isHealthy(url)).toBe(true);
    expect(psql).toBe(`psql "$(cat ${dataDir}/database-url)"`);
    expect(processes('agent/main.ts')).toHaveLength(2);
    const agents = await query(urlInFile(), `select count(*)::int from executor.agents`);
    expect(agents).toEqual([2]);
    const { password } = new URL(urlInFile());
    expect(launcher.stdout() + launcher.stderr()).not.toContain(password);
  });

  test('lets another agent join with nothing but the data directory', async () => {
    await startAndWait({ AGENTS: '0' });
    expect(processes('agent/main.ts')).toEqual([]);
    const agent = run(join(ROOT, 'agent/main.ts'), [], { env: { DATA_DIR: dataDir } });
    launchers.push(agent);
    await agent.printed(/"msg":"ready"/);
    agent.kill('SIGTERM');
    expect(await agent.exited).toEqual({ code: 0, signal: null });
  });

  test('uses the database that DATABASE_URL names, and runs none', async () => {
    const { launcher, url, psql } = await startAndWait(await elsewhere());
    expect(await isHealthy(url)).toBe(true);
    expect(psql).toBe('psql "$DATABASE_URL"');
    expect(existsSync(join(dataDir, 'postgres'))).toBe(false);
    launcher.kill('SIGTERM');
    expect(await launcher.exited).toEqual({ code: 0, signal: null });
  });

  test('gives an AGENT_ID to one agent only', async () => {
    const { DATABASE_URL } = await elsewhere();
    await startAndWait({ DATABASE_URL, AGENT_ID: 'alpha' });
    const agents = await query(
      DATABASE_URL,
      `select id from executor.agents order by id = 'alpha'`,
    );
    expect(agents).toEqual([expect.not.stringMatching('alpha'), 'alpha']);
  });

  test('quotes a data directory with a blank in its name', async () => {
    dataDir = join(dataDir, '..', "it's data");
    const { psql } = await startAndWait({ AGENTS: '0' });
    const command = psql.replace('psql', 'echo');
    expect(execFileSync('sh', ['-c', command], { encoding: 'utf8' }).trim()).toBe(urlInFile());
  });
});

describe('stopping', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    '%s ends everything within 10 s',
    async (signal) => {
      const { launcher } = await startAndWait();
      const askedAt = performance.now();
      launcher.kill(signal);
      expect(await launcher.exited).toEqual({ code: 0, signal: null });
      expect(processes()).toEqual([]);
      expect(performance.now() - askedAt).toBeLessThan(10_000);
      expect(existsSync(join(dataDir, 'postgres/postmaster.pid'))).toBe(false);
    },
  );

  test('ends everything within 10 s though a command takes longer and an agent hangs', async () => {
    const { launcher, url } = await startAndWait(await elsewhere());
    const posted = await fetch(`${url}/commands`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'DELAY', payload: { ms: 600_000 } }),
    });
    expect(posted.status).toBe(201);
    process.kill(processes('agent/main.ts')[0]!, 'SIGSTOP');
    const askedAt = performance.now();
    launcher.kill('SIGTERM');
    expect(await launcher.exited).toEqual({ code: 0, signal: null });
    expect(processes()).toEqual([]);
    expect(performance.now() - askedAt).toBeLessThan(10_000);
  });

  test('works while the start is still under way', async () => {
    const launcher = start();
    await vi.waitFor(() => expect(existsSync(join(dataDir, 'postgres'))).toBe(true), 10_000);
    launcher.kill('SIGTERM');
    expect(await launcher.exited).toEqual({ code: 0, signal: null });
    expect(launcher.stderr()).toBe('');
    expect(processes()).toEqual([]);
  });

  test('a second signal ends everything at once', async () => {
    const { launcher } = await startAndWait();
    process.kill(processes('agent/main.ts')[0]!, 'SIGSTOP');
    launcher.kill('SIGINT');
    await launcher.printed(/"msg":"stopping"/);
    // The repeat of a signal within half a second is taken for its echo.
    await vi.waitFor(
      () => {
        launcher.kill('SIGINT');
        expect(processes('start.ts')).toEqual([]);
      },
      { timeout: 2_000, interval: 100 },
    );
    expect(await launcher.exited).toEqual({ code: 1, signal: null });
    await nothingIsLeft();
  });

  test('leaves nothing either when the launcher is killed while its children load', async () => {
    const launcher = start(await elsewhere());
    await vi.waitFor(() => expect(processes('main.ts').length).toBeGreaterThan(0), {
      timeout: 10_000,
      interval: 5,
    });
    launcher.kill('SIGKILL');
    await launcher.exited;
    await nothingIsLeft();
  });

  test('children do not outlive a launcher that is killed, and the next start finds all', async () => {
    const first = await startAndWait();
    await query(urlInFile(), `select executor.submit_command('DELAY', '{"ms": 0}')`);
    const old = postmaster();
    first.launcher.kill('SIGKILL');
    await first.launcher.exited;
    const second = await startAndWait();
    expect(postmaster()).not.toBe(old);
    expect(await isHealthy(second.url)).toBe(true);
    expect(await query(urlInFile(), 'select count(*)::int from executor.commands')).toEqual([1]);
    await vi.waitFor(() => expect(processes('agent/main.ts')).toHaveLength(2), 8_000);
    expect(processes('server/main.ts')).toHaveLength(1);
  });
});

describe('a child that dies is started again', () => {
  test.each(['server/main.ts', 'agent/main.ts'])('%s', async (main) => {
    const { launcher } = await startAndWait({ ...(await elsewhere()), AGENTS: '1' });
    const [pid] = processes(main);
    process.kill(pid!, 'SIGKILL');
    await launcher.printed(/signal SIGKILL.*starting it again in 1 s/);
    await launcher.printed(/"a child is back"/);
    expect(processes(main)).toHaveLength(1);
    expect(processes(main)).not.toEqual([pid]);
  });

  test('Postgres, at the same address', async () => {
    const { launcher, url } = await startAndWait();
    const pid = postmaster();
    process.kill(pid, 'SIGKILL');
    await launcher.printed(/"child":"postgres".*starting it again in 1 s/);
    await launcher.printed(/"child":"postgres".*"a child is back"/);
    expect(postmaster()).not.toBe(pid);
    await becomesHealthy(url);
  });
});

describe('a start that cannot succeed says why in one line', () => {
  test('and names every setting that is wrong', async () => {
    const wrong = {
      PORT: '65536',
      AGENTS: '65',
      CONCURRENCY: '0',
      SHUTDOWN_TIMEOUT_MS: '-1',
      LOG_LEVEL: 'loud',
      AGENT_ID: 'a b',
      CORS_ORIGIN: 'zz',
      DATABASE_URL: 'mysql://secret',
    };
    const line = await startInVain(wrong);
    for (const name of Object.keys(wrong)) expect(line).toContain(`${name}: expected`);
    expect(line).not.toContain('secret');
    expect(existsSync(dataDir)).toBe(false);
  });

  test('when the port is in use', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const { port } = squatter.address() as AddressInfo;
    expect(await startInVain({ ...(await elsewhere()), PORT: String(port) })).toContain(
      `127.0.0.1:${port}`,
    );
    squatter.close();
  });

  test('when the database cannot be reached', async () => {
    const line = await startInVain({ DATABASE_URL: 'postgres://me:secret@127.0.0.1:1/db' });
    expect(line).toMatch(/^Cannot reach the database.*ECONNREFUSED/);
    expect(line).not.toContain('secret');
  });

  test('when another one runs on the data directory, which it leaves alone', async () => {
    const { url } = await startAndWait({ AGENTS: '0' });
    const second = start();
    expect(await second.exited).toEqual({ code: 1, signal: null });
    expect(second.stderr()).toBe(`Another \`npm start\` is running on ${dataDir}.\n`);
    expect(await isHealthy(url)).toBe(true);
    expect(statSync(join(dataDir, 'database-url')).isFile()).toBe(true);
  });
});
