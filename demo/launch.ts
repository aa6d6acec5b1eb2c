// The demo's system: `npm start` in a temporary directory, without agents of its own. They come later,
// when the settings that make the demo quick are in place, each with a name that is easy to read.

import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { databaseUrlFile } from '../runtime/environment.ts';
import { createLog } from '../runtime/log.ts';
import { keepRunning, type Restartable } from '../runtime/supervise.ts';

export interface DemoSystem {
  /** Where the server listens. */
  url: string;
  databaseUrl: string;
  postmasterPid(): number;
  /** Starts agents that are started again a second after they end; resolves when all work. */
  startAgents(count: number, concurrency: number): Promise<void>;
  /** Ends all of it and removes its files. */
  stop(): Promise<void>;
}

const AGENT = join(import.meta.dirname, '../agent/main.ts');
const SILENT = createLog({ name: 'demo', level: 'silent' });
const QUIET = { LOG_LEVEL: 'silent', PORT: '0' };

const STOP_MS = 12_000;

/** @throws when it does not start (what it printed says why), or the signal aborts before it has. */
export async function launch(
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<DemoSystem> {
  const dir = await mkdtemp(join(tmpdir(), 'agent-executor-demo-'));
  // Postgres's own account has to get in.
  await chmod(dir, 0o755);
  const launcher = fork(join(import.meta.dirname, '../start.ts'), {
    env: { ...environment, ...QUIET, DATABASE_URL: undefined, DATA_DIR: dir, AGENTS: '0' },
    // In a process group of its own: Ctrl-C is for the demo, which ends things in order. Its end, also
    // by SIGKILL, closes the channel, and then the launcher stops by itself.
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const exited = once(launcher, 'exit');
  const agents: DemoAgent[] = [];
  const stopping = new AbortController();
  const stop = async () => {
    stopping.abort();
    await Promise.all(agents.map((agent) => agent.end()));
    launcher.kill('SIGTERM');
    const timer = setTimeout(() => launcher.kill('SIGKILL'), STOP_MS);
    await exited;
    clearTimeout(timer);
    await rm(dir, { recursive: true, force: true });
  };
  const ready = readyUrl(launcher.stdout);
  const aborted = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve());
    if (signal.aborted) resolve();
  });
  const url = await Promise.race([ready, exited.then(() => undefined), aborted]);
  if (!url) {
    await stop();
    throw new Error('the system did not start');
  }
  const databaseUrl = readFileSync(databaseUrlFile(dir), 'utf8').trim();
  return {
    url,
    databaseUrl,
    startAgents: async (count, concurrency) => {
      const common = { ...environment, ...QUIET, DATABASE_URL: databaseUrl, DATA_DIR: dir };
      for (let number = 1; number <= count; number += 1) {
        const name = `agent-${number}`;
        const own = { ...common, AGENT_ID: name, CONCURRENCY: String(concurrency) };
        const agent = new DemoAgent(own);
        agents.push(agent);
        void keepRunning(agent, { name, log: SILENT, signal: stopping.signal });
      }
      await Promise.all(agents.map((agent) => agent.isReady()));
    },
    postmasterPid: () =>
      Number.parseInt(readFileSync(join(dir, 'postgres/postmaster.pid'), 'utf8'), 10),
    stop,
  };
}

/** An agent process and its successors, without a word of theirs: the demo tells what happens. */
class DemoAgent implements Restartable {
  readonly #environment: NodeJS.ProcessEnv;
  #process: ChildProcess;
  #exited: Promise<string>;

  constructor(environment: NodeJS.ProcessEnv) {
    this.#environment = environment;
    this.#process = this.#start();
    this.#exited = once(this.#process, 'exit').then(String);
  }

  get exited(): Promise<string> {
    return this.#exited;
  }

  async isReady(): Promise<void> {
    await Promise.race([once(this.#process, 'message'), this.#exited]);
  }

  restart(): Promise<void> {
    this.#process = this.#start();
    this.#exited = once(this.#process, 'exit').then(String);
    return Promise.resolve();
  }

  async end(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exited;
  }

  #start(): ChildProcess {
    return fork(AGENT, {
      env: this.#environment,
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
  }
}

async function readyUrl(stdout: NodeJS.ReadableStream | null): Promise<string | undefined> {
  let printed = '';
  for await (const chunk of stdout ?? []) {
    printed += String(chunk);
    const url = /^Ready: (\S+)$/m.exec(printed)?.[1];
    // Not to the end of the loop: that would close the pipe.
    if (url !== undefined) return url;
  }
  return undefined;
}
