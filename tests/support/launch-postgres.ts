// A launcher of the embedded server that tests can kill: `launch-postgres.ts <data dir> [<url file>]`.
// Prints the server's pid and URL once it runs; ends it on SIGTERM, and exits in a hurry on SIGHUP.

import { join } from 'node:path';
import { startPostgres } from '../../db/embedded.ts';
import { exitOnError } from '../../runtime/signals.ts';
import { THROWAWAY } from './postgres.ts';

await exitOnError(async () => {
  const dataDir = process.argv[2]!;
  process.on('SIGHUP', () => process.exit(1));
  const server = await startPostgres({
    dir: join(dataDir, 'postgres'),
    urlFile: join(dataDir, 'database-url'),
    settings: THROWAWAY,
  });
  process.on('SIGTERM', () => void server.stop());
  process.stdout.write(`${server.pid} ${server.url}\n`);
});
