import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { generateSchema, SCHEMA_FILE } from '../support/codegen.ts';
import { useDatabase } from '../support/database.ts';
import { temporaryDirectory } from '../support/postgres.ts';

const database = useDatabase();

test('the generated row types are those of the migrated database (else: npm run codegen)', async () => {
  const dir = await temporaryDirectory();
  onTestFinished(() => rm(dir, { recursive: true }));
  const file = join(dir, 'schema.ts');
  await generateSchema(database().url, file);
  expect(await readFile(SCHEMA_FILE, 'utf8')).toBe(await readFile(file, 'utf8'));
});
