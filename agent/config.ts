// The agent's settings: environment variables, and flags that win over them.

import { parseArgs } from 'node:util';
import { z } from 'zod';
import { EXPECTED_NAME, NAME } from '../db/names.ts';
import { DEFAULT_QUEUE } from '../db/work.ts';
import {
  commonSettings,
  ConfigError,
  databaseUrl,
  integer,
  readEnvironment,
} from '../runtime/environment.ts';

const programs = z
  .string()
  .transform((list) => list.split(',').map((program) => program.trim()))
  .pipe(
    z.array(
      z
        .string()
        .regex(/^(\/.+|[^/]+)$/, 'expected absolute paths or names of programs, with commas'),
    ),
  );

const queues = z
  .string()
  .transform((list) => list.split(',').map((queue) => queue.trim()))
  .pipe(
    z
      .array(z.string().regex(NAME, 'expected names of queues, with commas'))
      .max(100, 'expected at most 100 queues')
      .refine((names) => new Set(names).size === names.length, 'expected each queue once'),
  );

const serverUrl = z
  .string()
  .refine(
    (url) => /^https?:\/\/[^/?#]/.test(url) && URL.canParse(url) && !/[?#]/.test(url),
    'expected a URL such as https://host:3000 or https://host/path/',
  );

/** The agent's settings, read by main.ts; the launcher checks them before it starts anything. */
export const agentSettings = {
  ...commonSettings,
  DATABASE_DIRECT_URL: databaseUrl.optional(),
  AGENT_ID: z.string().regex(NAME, EXPECTED_NAME).optional(),
  QUEUES: queues.default(() => [DEFAULT_QUEUE]),
  CONCURRENCY: integer(1, 1_000).default(10),
  SHUTDOWN_TIMEOUT_MS: integer(0, 3_600_000).default(30_000),
  /** Types of one's own; see custom-executors.ts. */
  EXECUTORS_DIR: z.string().optional(),
  /** The programs that EXEC may run; see executors/exec.ts. */
  ALLOW_EXEC: programs.optional(),
  /** Simulated crashes; see crash.ts. */
  KILL_AFTER: decimal('a number of seconds from 0.001 to 1000000', 0.001, 1_000_000).optional(),
  RANDOM_FAILURES: decimal('a probability from 0 to 1', 0, 1).default(0),
  /** Where a server is: then the agent needs no database. */
  SERVER_URL: serverUrl.optional(),
  /** In ms: the pause after a claim over HTTP that failed. */
  POLL_INTERVAL: integer(1, 3_600_000).default(2_000),
};

export type AgentConfig = z.output<z.ZodObject<typeof agentSettings>>;

/** @throws ConfigError that names every wrong variable or flag. */
export function readConfig(environment: NodeJS.ProcessEnv, args: string[]): AgentConfig {
  return readEnvironment(agentSettings, { ...environment, ...readFlags(args) });
}

function decimal(what: string, min: number, max: number) {
  const expected = `expected ${what}`;
  return z
    .string()
    .regex(/^\d{0,7}\.?\d{1,6}$/, expected)
    .transform(Number)
    .pipe(z.number().min(min, expected).max(max, expected));
}

const FLAGS = {
  'allow-exec': { type: 'string' },
  concurrency: { type: 'string' },
  executors: { type: 'string' },
  queues: { type: 'string' },
  'kill-after': { type: 'string' },
  'random-failures': { type: 'string' },
} as const;

/** The variables that are not called as their flags are. */
const VARIABLES: Record<string, string> = { executors: 'EXECUTORS_DIR' };

/** What `--random-failures` means when it stands alone. */
const RANDOM_FAILURES = '--random-failures=0.1';

function readFlags(args: string[]): NodeJS.ProcessEnv {
  // parseArgs knows no flags whose value is optional.
  const whole = args.map((arg) => (arg === '--random-failures' ? RANDOM_FAILURES : arg));
  const flags = Object.entries(parse(whole)).map(([flag, value]) => {
    // An empty variable counts as unset; an empty flag is a mistake.
    if (value === '') throw new ConfigError(`Option '--${flag}' needs a value.`);
    return [VARIABLES[flag] ?? flag.toUpperCase().replaceAll('-', '_'), value] as const;
  });
  return Object.fromEntries(flags);
}

function parse(args: string[]): Record<string, string | undefined> {
  try {
    return parseArgs({ args, options: FLAGS }).values;
  } catch (cause) {
    const message = (cause as Error).message.replaceAll(/\s+/g, ' ');
    throw new ConfigError(message, { cause });
  }
}
