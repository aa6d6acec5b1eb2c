// What answers look like, for the API's description. Nothing is checked with these at run time: that what
// the database's types promise is described is checked by the compiler, the rest by tests.

import { z } from 'zod';
import { AGENT_STATES, type AgentStatus } from '../db/agent-states.ts';
import { COMMAND_STATUSES, type Command, DELIVERIES } from '../db/command-json.ts';
import type { Attempt, LogLine } from '../db/command-list.ts';
import type { CommandTypeDefinition } from '../db/command-types.ts';
import type { QueueStatus } from '../db/queue-states.ts';

const time = z.iso.datetime({ precision: 3 }).meta({ example: '2030-01-31T08:30:00.000Z' });
const commandId = z.guid().describe('A UUIDv7.');
const count = z.int().min(0);

/** Why an attempt or a command failed. */
const failure = z
  .looseObject({
    code: z.string().optional().describe('For programs, such as `executor_error` or `timed_out`.'),
    message: z.string().optional().describe('For people.'),
    retryable: z.boolean().optional().describe('Whether another attempt may do better.'),
  })
  .meta({ id: 'Failure' });

export const status = z.enum(COMMAND_STATUSES).meta({
  id: 'CommandStatus',
  description:
    'SCHEDULED waits for `runAt`, BLOCKED for another command of its concurrency key, PENDING is ' +
    'claimable, RUNNING is with an agent; COMPLETED, FAILED and CANCELLED are for good.',
});

const backoff = z.object({ initialMs: z.number(), factor: z.number(), maxMs: z.number() });

const progress = z
  .object({
    value: z.number().min(0).max(1).nullable(),
    message: z.string().nullable(),
    updatedAt: time,
  })
  .meta({ id: 'Progress' });

export const command = z
  .object({
    id: commandId,
    type: z.string(),
    payload: z.looseObject({}),
    status,
    result: z.unknown().describe('What its executor answered; null until it is COMPLETED.'),
    error: failure.nullable().describe('Why it FAILED, or what went wrong last.'),
    agentId: z.string().nullable().describe('Who runs it, or ran it last.'),
    attempt: count.describe('How often it was claimed.'),
    failures: count.describe('How many of the attempts failed or timed out.'),
    losses: count.describe('How many agents were lost while they ran it.'),
    maxAttempts: z.int(),
    backoff,
    delivery: z.enum(DELIVERIES),
    timeoutMs: z.number().describe('How long one attempt may take.'),
    queue: z.string(),
    target: z
      .object({ agentId: z.string() })
      .nullable()
      .describe('The only agent that may execute it; null: any.'),
    priority: z.int(),
    createdAt: time,
    updatedAt: time,
    runAt: time.nullable().describe('Not before this time.'),
    startedAt: time.nullable(),
    assignedAt: time.nullable().describe('The same as `startedAt`.'),
    deadlineAt: time.nullable().describe('When the running attempt times out.'),
    finishedAt: time.nullable(),
    cancelRequestedAt: time.nullable().describe('When somebody asked to cancel it.'),
    progress: progress.nullable().describe('How far the latest attempt is.'),
    tags: z.array(z.string()),
    metadata: z.looseObject({}),
    concurrencyKey: z.string().nullable().describe('One command of a key runs at a time.'),
    idempotencyKey: z.string().nullable().describe('The key it was submitted under.'),
    batchId: z.guid().nullable().describe('Of those that were submitted together.'),
    retryOf: z.guid().nullable().describe('The command that was repeated with this.'),
  })
  .meta({ id: 'Command' }) satisfies z.ZodType<Command>;

export const attempt = z
  .object({
    attempt: z.int().min(1),
    agentId: z.string().nullable(),
    outcome: z
      .enum(['completed', 'failed', 'timed_out', 'lost', 'released', 'cancelled', 'unstarted'])
      .nullable()
      .describe('null while it runs.'),
    error: failure.nullable(),
    startedAt: time.nullable(),
    finishedAt: time.nullable(),
  })
  .meta({ id: 'Attempt' }) satisfies z.ZodType<Attempt>;

export const commandWithAttempts = command
  .extend({ attempts: z.array(attempt).describe('First to last.') })
  .meta({ id: 'CommandWithAttempts' });

export const logLine = z
  .object({
    attempt: z.int().min(1),
    no: z.int().min(1).describe('From 1 in each attempt.'),
    at: time.describe('When it came in.'),
    line: z.string(),
  })
  .meta({ id: 'LogLine' }) satisfies z.ZodType<LogLine>;

export const agent = z
  .object({
    id: z.string(),
    state: z
      .enum(AGENT_STATES)
      .describe('draining finishes what it runs; lost is silent; gone has signed off.'),
    running: count.describe('How many commands it runs.'),
    concurrency: count.describe('How many it runs at most.'),
    lastBeatAt: time,
    registeredAt: time,
    lostAt: time.nullable(),
    signedOffAt: time.nullable(),
    host: z.string().nullable(),
    pid: z.int().nullable(),
    version: z.string().nullable(),
    queues: z.array(z.string()).describe('Where it looks, the one it takes most from first.'),
    types: z.array(z.string()).describe('What it can carry out.'),
    beats: z
      .boolean()
      .describe("false: a simple client that never beats; its attempts' deadlines judge it."),
    drainRequestedAt: time.nullable().describe('Since when it is asked to claim no more.'),
  })
  .meta({ id: 'Agent' }) satisfies z.ZodType<AgentStatus>;

export const agentWithCommands = agent
  .extend({ commands: z.array(commandId).max(1_000).describe('What it runs now.') })
  .meta({ id: 'AgentWithCommands' });

export const queue = z
  .object({
    name: z.string(),
    paused: z.boolean().describe('Nothing of it is claimed.'),
    pausedAt: time.nullable(),
    depth: count.describe('How many commands are ready to be claimed.'),
    running: count,
    unclaimable: count.describe('How many of those that are ready no living agent can run.'),
    unclaimableOf: z
      .array(
        z.object({
          type: z.string(),
          agentId: z.string().nullable().describe('The agent they are meant for; null: any.'),
          depth: count,
        }),
      )
      .describe('Which these are. What a pause holds up is not among them.'),
    oldestReadyAt: time.nullable().describe('Since when the first of those that are ready waits.'),
    oldestReadyAgeMs: count.nullable().describe('How long that is.'),
    createdAt: time,
  })
  .meta({ id: 'Queue' }) satisfies z.ZodType<QueueStatus>;

export const commandType = z
  .object({
    type: z.string(),
    description: z.string(),
    payloadSchema: z.looseObject({}).describe('JSON Schema, draft 2020-12.'),
    resultSchema: z.looseObject({}).describe('The same of what it answers.'),
    defaultTimeoutMs: z.number().describe('How long an attempt may take unless its command says.'),
    timeoutPayloadKey: z
      .string()
      .nullable()
      .describe('A member of the payload, in ms, that is added to it.'),
  })
  .meta({ id: 'CommandType' }) satisfies z.ZodType<CommandTypeDefinition>;

export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int().min(400).max(599),
    detail: z.string().describe('For people.'),
    instance: z.string().optional().describe('The path that was asked for.'),
    code: z.string().describe('For programs.'),
    requestId: z.string().describe('As in `X-Request-Id` and in the log.'),
    errors: z
      .array(
        z.object({
          pointer: z.string().describe('Where, such as `#/payload/ms`, `#/query/limit`.'),
          detail: z.string().describe('What is wrong there.'),
        }),
      )
      .describe('What is wrong with the request: at most 20 things.'),
  })
  .meta({ id: 'Problem', description: 'RFC 9457, problem details.' });
