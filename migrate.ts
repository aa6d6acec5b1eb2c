// `npm run migrate`: brings the database to what this version needs, and publishes the built-in
// command types.

import { commandTypes } from './agent/executors/registry.ts';
import { migrate } from './db/migrate.ts';
import { commonSettings, findDatabaseUrl, readEnvironment } from './runtime/environment.ts';
import { createLog } from './runtime/log.ts';
import { exitOnError } from './runtime/signals.ts';

await exitOnError(async () => {
  const settings = readEnvironment(commonSettings, process.env);
  const log = createLog({ name: 'migrate', level: settings.LOG_LEVEL });
  await migrate(findDatabaseUrl(settings), { types: commandTypes(), log });
});
