// `npm run migrate`: brings the database to what this version needs, and publishes the built-in
// command types.

import { agentSettings } from './agent/config.ts';
import { commandTypes } from './agent/executors/registry.ts';
import { migrate } from './db/migrate.ts';
import { commonSettings, findDatabaseUrl, readEnvironment } from './runtime/environment.ts';
import { createLog } from './runtime/log.ts';
import { exitOnError } from './runtime/signals.ts';

await exitOnError(async () => {
  const { SERVER_URL } = agentSettings;
  const settings = readEnvironment({ ...commonSettings, SERVER_URL }, process.env);
  const log = createLog({ name: 'migrate', level: settings.LOG_LEVEL });
  // `npm run agent` for one that goes through a server: that has seen to its database.
  if (settings.SERVER_URL && !settings.DATABASE_URL)
    return log.info('SERVER_URL is set, and no DATABASE_URL: nothing to migrate');
  await migrate(findDatabaseUrl(settings), { types: commandTypes(), log });
});
