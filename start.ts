// `npm start`: the whole system on one machine, each part a process of its own. Postgres, unless
// DATABASE_URL names one → migrations → a server and some agents; and back in the opposite order.

import { once } from 'node:events';
import { join, resolve } from 'node:path';
import type { z } from 'zod';
import { agentSettings } from './agent/config.ts';
import { commandTypes } from './agent/executors/registry.ts';
import { startPostgres } from './db/embedded.ts';
import { migrate } from './db/migrate.ts';
import { databaseUrlFile, integer, readEnvironment } from './runtime/environment.ts';
import { closeLogFiles, createLog, type Logger } from './runtime/log.ts';
import { exitOnError, onStopRequest } from './runtime/signals.ts';
import { ChildFailedError, keepRunning, SupervisedChild } from './runtime/supervise.ts';
import { serverSettings } from './server/config.ts';

// What is for the children is checked here too: a wrong value ends the start before anything runs.
const settingsShape = {
  ...serverSettings,
  ...agentSettings,
  AGENTS: integer(0, 64).default(2),
  SHUTDOWN_TIMEOUT_MS: integer(0, 3_600_000).default(5_000),
};

type Settings = z.output<z.ZodObject<typeof settingsShape>>;

/** The exit code of an agent that a newer process of the same id has replaced. */
const SUPERSEDED = 3;

/** What an agent may take to say goodbye once it is drained, then the server to end, then Postgres. */
const GOODBYE_MS = 2_000;
const SERVER_MS = 1_000;
const POSTGRES_MS = 1_500;

const children: SupervisedChild[] = [];

const stopRequest = onStopRequest((code) => {
  for (const child of children) child.kill();
  process.exit(code);
});

await exitOnError(async () => {
  const settings = readEnvironment(settingsShape, process.env);
  const log = createLog({ name: 'start', level: settings.LOG_LEVEL, dir: settings.LOG_DIR });
  try {
    await launch(settings, log);
  } catch (error) {
    // To give up what is under way is no error when it was asked for.
    if (!stopRequest.aborted) process.exitCode = 1;
    if (!stopRequest.aborted && !hasBeenSaid(error)) throw error;
  }
  await closeLogFiles();
  // A migration that was given up may still wait for its database.
  process.exit();
});

async function launch(settings: Settings, log: Logger): Promise<void> {
  const { DATABASE_URL, DATA_DIR, LOG_LEVEL, LOG_DIR } = settings;
  if (DATABASE_URL) return run(DATABASE_URL, 'psql "$DATABASE_URL"', settings, log);
  const urlFile = databaseUrlFile(DATA_DIR);
  const postgres = await startPostgres({
    dir: join(DATA_DIR, 'postgres'),
    urlFile,
    log: createLog({ name: 'postgres', level: LOG_LEVEL, dir: LOG_DIR }),
    signal: stopRequest,
  });
  const ending = new AbortController();
  void keepRunning(postgres, { name: 'postgres', log, signal: ending.signal });
  try {
    return await run(postgres.url, `psql "$(cat ${shellWord(urlFile)})"`, settings, log);
  } finally {
    ending.abort();
    await postgres.stop(POSTGRES_MS);
  }
}

async function run(url: string, psql: string, settings: Settings, log: Logger): Promise<void> {
  await orStop(migrate(url, { types: commandTypes(), log }));
  if (stopRequest.aborted) return;
  const environment = environmentFor(url, settings);
  const server = startChild('server', 'server/main.ts', environment, log);
  const agents = Array.from({ length: settings.AGENTS }, (_, index) => {
    // An AGENT_ID of the user's is one agent's.
    const own = index === 0 ? environment : { ...environment, AGENT_ID: undefined };
    return startChild(`agent ${index + 1}`, 'agent/main.ts', own, log);
  });
  try {
    const ready = await orStop(Promise.all(children.map((child) => child.ready)));
    if (ready) process.stdout.write(`Ready: ${ready[0]}\nDatabase: ${psql}\n`);
    await stopRequested();
  } finally {
    log.info('stopping');
    const deadline = performance.now() + settings.SHUTDOWN_TIMEOUT_MS + GOODBYE_MS;
    await Promise.all(agents.map((agent) => agent.stop(deadline - performance.now())));
    await server.stop(Math.max(SERVER_MS, deadline - performance.now()));
  }
}

function environmentFor(url: string, settings: Settings): NodeJS.ProcessEnv {
  return {
    ...process.env,
    DATABASE_URL: url,
    // Its agents are this database's.
    SERVER_URL: undefined,
    DATA_DIR: resolve(settings.DATA_DIR),
    PORT: String(settings.PORT),
    HOST: settings.HOST,
    CONCURRENCY: String(settings.CONCURRENCY),
    SHUTDOWN_TIMEOUT_MS: String(settings.SHUTDOWN_TIMEOUT_MS),
  };
}

function startChild(name: string, main: string, environment: NodeJS.ProcessEnv, log: Logger) {
  const file = join(import.meta.dirname, main);
  const child = new SupervisedChild({ name, main: file, environment, finalCode: SUPERSEDED, log });
  children.push(child);
  return child;
}

/** Settles as the work does, or with undefined as soon as a stop is asked for. */
async function orStop<T>(work: Promise<T>): Promise<T | undefined> {
  return Promise.race([work, stopRequested()]);
}

async function stopRequested(): Promise<undefined> {
  if (!stopRequest.aborted) await once(stopRequest, 'abort');
  return undefined;
}

function hasBeenSaid(error: unknown): boolean {
  return error instanceof ChildFailedError && error.hasSaidWhy;
}

function shellWord(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
