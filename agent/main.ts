// `npm run agent`: one agent process.
//
// Exit codes: 0 after a clean stop, 1 when it could not start or had to leave something unsaid, 3
// when a newer process is this agent now (its supervisor must not start it again).

import { randomUUID } from 'node:crypto';
import { checkDatabase } from '../db/check.ts';
import { connect } from '../db/connect.ts';
import { findDatabaseUrl } from '../runtime/environment.ts';
import { closeLogFiles, createLog } from '../runtime/log.ts';
import { exitOnError, onStopRequest } from '../runtime/signals.ts';
import { readConfig, type AgentConfig } from './config.ts';
import { crash, withRandomFailures } from './crash.ts';
import { groupsEnded } from './executors/process-group.ts';
import { openJournal } from './journal-identity.ts';
import { loadRepertoire } from './repertoire.ts';
import { startAgent, type LedgerAddress } from './start-agent.ts';
import { checkServer } from './transports/check-server.ts';

const SUPERSEDED = 3;

/** What programs that EXEC was told to end may take to tidy up before this process exits. */
const LAST_WORDS_MS = 400;

await exitOnError(async () => {
  const stopRequest = onStopRequest();
  const config = readConfig(process.env, process.argv.slice(2));
  const ledger = findLedger(config);
  const { executors, ownTypes } = await loadRepertoire(config, process.env);
  await check(ledger);
  const journal = openJournal(config.DATA_DIR, config.AGENT_ID);
  const { agentId } = journal;
  const log = createLog({
    name: 'agent',
    level: config.LOG_LEVEL,
    dir: config.LOG_DIR,
    file: agentId,
    bindings: { agentId },
  });
  const agent = await startAgent({
    ledger,
    identity: { agentId, session: randomUUID() },
    journal: journal.file,
    executors: withRandomFailures(executors, config.RANDOM_FAILURES, () =>
      crash(log, 'RANDOM_FAILURES'),
    ),
    ownTypes,
    queues: config.QUEUES,
    concurrency: config.CONCURRENCY,
    log,
  });
  process.send?.({ ready: agentId });
  if (config.KILL_AFTER !== undefined)
    setTimeout(() => crash(log, 'KILL_AFTER'), config.KILL_AFTER * 1_000);

  await aborted(AbortSignal.any([stopRequest, agent.superseded]));
  if (agent.superseded.aborted) log.error('superseded: another process is this agent now');
  const said = await agent.stop(config.SHUTDOWN_TIMEOUT_MS);
  await groupsEnded(LAST_WORDS_MS);
  const exitCode = agent.superseded.aborted ? SUPERSEDED : said ? 0 : 1;
  log.info({ reason: stopRequest.reason as unknown, exitCode }, 'stopped');
  journal.close();
  await closeLogFiles();
  // An executor that does not listen to its signal must not keep the process.
  process.exit(exitCode);
});

/** @throws ConfigError when there is none. */
function findLedger(config: AgentConfig): LedgerAddress {
  const { SERVER_URL, POLL_INTERVAL, DATABASE_DIRECT_URL } = config;
  if (SERVER_URL) return { serverUrl: SERVER_URL, pollIntervalMs: POLL_INTERVAL };
  return { databaseUrl: findDatabaseUrl(config), directUrl: DATABASE_DIRECT_URL };
}

async function check(ledger: LedgerAddress): Promise<void> {
  if ('serverUrl' in ledger) return await checkServer(ledger.serverUrl);
  const database = connect(ledger.databaseUrl, { applicationName: 'agent-executor agent', max: 1 });
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
