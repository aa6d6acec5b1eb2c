import { z } from 'zod';
import { commonSettings, databaseUrl, integer } from '../runtime/environment.ts';

const EXPECTED_ORIGINS = 'expected * or origins such as https://example.org, with commas between';

/** The server's settings, read by main.ts. `PORT` 0 takes any free port. */
export const serverSettings = {
  ...commonSettings,
  /** Past a pooler in transaction mode, for what listens. */
  DATABASE_DIRECT_URL: databaseUrl.optional(),
  PORT: integer(0, 65_535).default(3000),
  HOST: z.string().default('127.0.0.1'),
  CORS_ORIGIN: z
    .string()
    .default('*')
    .transform((list) => list.split(',').map((origin) => origin.trim()))
    .refine((origins) => origins.every(isOrigin), EXPECTED_ORIGINS),
};

function isOrigin(text: string): boolean {
  return text === '*' || (URL.canParse(text) && new URL(text).origin === text);
}
