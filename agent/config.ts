// The agent's settings: environment variables, and flags that win over them.

import { parseArgs } from 'node:util';
import { z } from 'zod';
import { commonSettings, ConfigError, integer, readEnvironment } from '../runtime/environment.ts';

const settings = {
  ...commonSettings,
  AGENT_ID: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'expected 1 to 64 of the characters A-Z a-z 0-9 . _ -')
    .optional(),
  CONCURRENCY: integer(1, 1_000).default(10),
  SHUTDOWN_TIMEOUT_MS: integer(0, 3_600_000).default(30_000),
  SERVER_URL: z.undefined('the HTTP transport is not there yet; use DATABASE_URL').optional(),
};

export type AgentConfig = z.output<z.ZodObject<typeof settings>>;

/** @throws ConfigError that names every wrong variable or flag. */
export function readConfig(environment: NodeJS.ProcessEnv, args: string[]): AgentConfig {
  return readEnvironment(settings, { ...environment, ...readFlags(args) });
}

function readFlags(args: string[]): NodeJS.ProcessEnv {
  try {
    const { values } = parseArgs({ args, options: { concurrency: { type: 'string' } } });
    return values.concurrency === undefined ? {} : { CONCURRENCY: values.concurrency };
  } catch (cause) {
    throw new ConfigError((cause as Error).message, { cause });
  }
}
