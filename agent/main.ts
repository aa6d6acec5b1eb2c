// `npm run agent`: one agent process.
//
// Exit codes: 0 after a clean stop, 1 when it could not start or had to leave something unsaid, 3
// when a newer process is this agent now (its supervisor must not start it again).

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { checkDatabase } from '../db/check.ts';
import { connect } from '../db/connect.ts';
import { findDatabaseUrl } from '../runtime/environment.ts';
import { closeLogFiles, createLog, type Logger } from '../runtime/log.ts';
import { exitOnError, onStopRequest } from '../runtime/signals.ts';
import packageJson from '../package.json' with { type: 'json' };
import { Agent } from './agent.ts';
import { readConfig, type AgentConfig } from './config.ts';
import { executors } from './executors/registry.ts';
import { openJournal } from './journal.ts';
import { Lifeline } from './lifeline.ts';
import { PostgresTransport } from './transports/postgres.ts';

const SUPERSEDED = 3;

await exitOnError(async () => {
  const stop = onStopRequest();
  const config = readConfig(process.env, process.argv.slice(2));
  const databaseUrl = findDatabaseUrl(config);
  await check(databaseUrl);
  const journal = openJournal(config.DATA_DIR, config.AGENT_ID);
  const { agentId } = journal;
  const log = createLog({
    name: 'agent',
    level: config.LOG_LEVEL,
    dir: config.LOG_DIR,
    file: agentId,
    bindings: { agentId },
  });
  const exitCode = await run(databaseUrl, { agentId, session: randomUUID() }, config, log, stop);
  journal.close();
  await closeLogFiles();
  // An executor that does not listen to its signal must not keep the process.
  process.exit(exitCode);
});

async function run(
  databaseUrl: string,
  identity: { agentId: string; session: string },
  config: AgentConfig,
  log: Logger,
  stop: AbortSignal,
): Promise<number> {
  const transport = new PostgresTransport(databaseUrl, identity, log);
  const agent = new Agent({ transport, executors, concurrency: config.CONCURRENCY, log });
  const superseded = new AbortController();
  const lifeline = new Lifeline(databaseUrl, {
    identity,
    log,
    state: () => agent.state(),
    onWork: () => agent.wake(),
    onBeat: (answer) => (answer.superseded ? superseded.abort() : agent.heed(answer)),
  });
  const takenBack = await transport.register({
    concurrency: config.CONCURRENCY,
    host: hostname(),
    pid: process.pid,
    version: packageJson.version,
  });
  await lifeline.open();
  log.info({ concurrency: config.CONCURRENCY, session: identity.session, takenBack }, 'ready');
  process.send?.({ ready: identity.agentId });

  await aborted(AbortSignal.any([stop, superseded.signal]));
  let exitCode = 0;
  if (superseded.signal.aborted) {
    log.error('superseded: another process is this agent now');
    agent.abandon();
    exitCode = SUPERSEDED;
  } else if (!(await agent.drain(config.SHUTDOWN_TIMEOUT_MS))) {
    exitCode = 1;
  }
  await lifeline.close();
  await transport.close();
  log.info({ reason: stop.reason as unknown, exitCode }, 'stopped');
  return exitCode;
}

async function check(databaseUrl: string): Promise<void> {
  const database = connect(databaseUrl, { applicationName: 'agent-executor agent', max: 1 });
  try {
    await checkDatabase(database);
  } finally {
    await database.close();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
}
