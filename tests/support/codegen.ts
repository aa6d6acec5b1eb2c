// `npm run codegen`: writes db/schema.ts, Kysely's row types, from a freshly migrated database.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { commandTypes } from '../../agent/executors/registry.ts';
import { migrate } from '../../db/migrate.ts';
import { startTestPostgres } from './postgres.ts';

export const SCHEMA_FILE = join(import.meta.dirname, '../../db/schema.ts');

/** Writes the row types of a migrated database to `file`. */
export async function generateSchema(databaseUrl: string, file: string): Promise<void> {
  const codegen = join(import.meta.dirname, '../../node_modules/kysely-codegen/dist/cli/bin.js');
  await promisify(execFile)(process.execPath, [
    codegen,
    '--dialect=postgres',
    `--url=${databaseUrl}`,
    '--include-pattern=executor.*',
    '--type-mapping={"interval":"string"}',
    `--out-file=${file}`,
  ]);
}

if (import.meta.main) {
  const server = await startTestPostgres();
  try {
    await migrate(server.url, { types: commandTypes() });
    await generateSchema(server.url, SCHEMA_FILE);
  } finally {
    await server.stop();
  }
}
