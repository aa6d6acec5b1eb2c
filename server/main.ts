// The server process: settings → log → database → ticks → HTTP, and back in the opposite order.

import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { checkDatabase, reach } from '../db/check.ts';
import { connect } from '../db/connect.ts';
import { findDatabaseUrl, readEnvironment } from '../runtime/environment.ts';
import { createLog } from '../runtime/log.ts';
import { exitOnError, onStopRequest } from '../runtime/signals.ts';
import { expectYoungGarbage } from '../runtime/young-garbage.ts';
import { AgentDesks } from './agent-desks.ts';
import { createApp } from './app.ts';
import { serverSettings } from './config.ts';
import { Following } from './following.ts';
import { listen } from './listen.ts';
import { Ticker } from './ticker.ts';
import { Vacuum } from './vacuum.ts';

const MAX_CONNECTIONS = 10;

/** How long requests in flight may take to end, and then everything else. */
const REQUESTS_MS = 5_000;
const EXIT_MS = 1_000;

expectYoungGarbage();
const stopRequest = onStopRequest();

await exitOnError(run);
// By now nothing should be left to wait for; the timer is for what is.
setTimeout(() => process.exit(0), EXIT_MS).unref();
if (process.connected) process.disconnect();

async function run(): Promise<void> {
  const settings = readEnvironment(serverSettings, process.env);
  const log = createLog({ name: 'server', level: settings.LOG_LEVEL, dir: settings.LOG_DIR });
  const databaseUrl = findDatabaseUrl(settings);
  const database = connect(databaseUrl, {
    applicationName: 'agent-executor server',
    max: MAX_CONNECTIONS,
    log,
  });
  await checkDatabase(database);
  const directUrl = settings.DATABASE_DIRECT_URL ?? databaseUrl;
  const ticker = new Ticker(directUrl, log);
  await reach(() => ticker.open());
  const vacuum = new Vacuum(database.pool, log);
  const following = new Following({ url: directUrl, kysely: database.kysely, log });
  const desks = new AgentDesks({ database, url: directUrl, log });
  const app = createApp({
    database,
    log,
    corsOrigins: settings.CORS_ORIGIN,
    following,
    desks,
  });
  const listener = await listen(app.callback(), { host: settings.HOST, port: settings.PORT });
  log.info({ url: listener.url }, 'ready');
  process.send?.({ ready: listener.url });

  if (!stopRequest.aborted) await once(stopRequest, 'abort');
  log.info({ reason: stopRequest.reason }, 'stopping');
  vacuum.close();
  following.end();
  desks.end();
  await listener.stop(REQUESTS_MS);
  await following.close();
  await desks.close();
  await ticker.close();
  await Promise.race([database.close(), pause(EXIT_MS, undefined, { ref: false })]);
  log.info('stopped');
}
