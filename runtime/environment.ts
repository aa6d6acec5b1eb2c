// Reads a process's settings: one zod schema, one message that names every wrong variable.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** A setting is wrong or missing. The message is complete: print it and exit 1. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** A whole number written in decimal digits, between `min` and `max`. */
export function integer(min: number, max: number) {
  const expected = `expected a whole number from ${min} to ${max}`;
  return z
    .string()
    .regex(/^\d{1,15}$/, expected)
    .transform(Number)
    .pipe(z.number().min(min, expected).max(max, expected));
}

/** The address of a database. */
export const databaseUrl = z
  .string()
  .refine(
    (url) => /^postgres(ql)?:\/\/[^/]/.test(url) && URL.canParse(url),
    'expected a URL such as postgres://user:password@host/database',
  );

/** Settings that every process understands. */
export const commonSettings = {
  DATABASE_URL: databaseUrl.optional(),
  DATA_DIR: z.string().default('./data'),
  LOG_LEVEL: z.enum(LOG_LEVELS, `expected one of ${LOG_LEVELS.join(', ')}`).default('info'),
  LOG_DIR: z.string().optional(),
};

/**
 * Parses an environment; an empty variable counts as unset.
 *
 * @throws ConfigError that names every wrong variable. Values are not repeated: they may be secret.
 */
export function readEnvironment<T extends z.ZodRawShape>(
  shape: T,
  environment: NodeJS.ProcessEnv,
): z.output<z.ZodObject<T>> {
  const present = Object.fromEntries(Object.entries(environment).filter(([, value]) => value));
  const parsed = z.object(shape).safeParse(present);
  if (parsed.success) return parsed.data;
  const wrong = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw new ConfigError(`Wrong settings: ${wrong.join('; ')}`);
}

/** Where `npm start` leaves the address of the database it runs. */
export function databaseUrlFile(dataDir: string): string {
  return join(dataDir, 'database-url');
}

/**
 * The database to use: `DATABASE_URL`, else what `npm start` wrote to `DATA_DIR/database-url`.
 *
 * @throws ConfigError when there is neither.
 */
export function findDatabaseUrl(settings: {
  DATABASE_URL?: string | undefined;
  DATA_DIR: string;
}): string {
  if (settings.DATABASE_URL) return settings.DATABASE_URL;
  const file = databaseUrlFile(settings.DATA_DIR);
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new ConfigError(
      `No database: set DATABASE_URL, or run \`npm start\`, which writes ${file}.`,
      { cause },
    );
  }
}
