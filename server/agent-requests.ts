// What agents that come over HTTP say: queries and bodies of the agents' protocol, with bounds that are
// those of the ledger's constraints.

import { z } from 'zod';
import type { AttemptKey } from '../db/agents.ts';
import { EXPECTED_NAME, EXPECTED_TYPE_NAME, NAME, TYPE_NAME } from '../db/names.ts';
import { DEFAULT_QUEUE } from '../db/work.ts';
import { agentId, countCharacters, THIRTY_DAYS_MS, wholeNumber } from './new-command.ts';

const LONGEST_POLL_SECONDS = 60;
const LONGEST_HELD_BEAT_SECONDS = 30;
const MOST_ITEMS = 1_000;
const MOST_NAMES = 100;

/** As the ledger's constraints have them. */
const LINE_CHARACTERS = 2_000;
const PROGRESS_CHARACTERS = 500;

/** What a simple client can carry out unless it says so. */
const SIMPLE_TYPES = ['DELAY', 'HTTP_GET_JSON'];

const session = z.guid('expected a UUID').toLowerCase();
const claimNo = wholeNumber(0, Number.MAX_SAFE_INTEGER);
const queueName = z.string('expected the name of a queue').regex(NAME, EXPECTED_NAME);
const typeName = z.string('expected the name of a type').regex(TYPE_NAME, EXPECTED_TYPE_NAME);
const commandId = z.guid('expected the id of a command').toLowerCase();
const attempt = wholeNumber(1, 2 ** 31 - 1);

const queues = names(queueName, 'queues');
const types = names(typeName, 'types');

/** `GET /commands/next`. */
export const nextQuery = z.strictObject({
  agentId,
  session: session.exactOptional(),
  claimNo: digits(Number.MAX_SAFE_INTEGER).exactOptional(),
  wait: digits(LONGEST_POLL_SECONDS).default(0),
  queues: listed(queues, NAME),
  types: listed(types, TYPE_NAME),
});

/** `POST /commands/claim`. */
export const claimBody = z.strictObject(
  {
    agentId,
    session: session.exactOptional(),
    claimNo: claimNo.exactOptional(),
    limit: wholeNumber(1, MOST_ITEMS).default(1),
    wait: wholeNumber(0, LONGEST_POLL_SECONDS).default(0),
    queues: queues.exactOptional(),
    types: types.exactOptional(),
  },
  'expected an object with agentId',
);

/** Without a session, what is not said is what the simplest clients mean. */
export function withSimpleDefaults<T extends { session?: string }>(request: T): T {
  if (request.session !== undefined) return request;
  return { queues: [DEFAULT_QUEUE], types: SIMPLE_TYPES, ...request };
}

const attemptKey = z.strictObject(
  { id: commandId, attempt },
  'expected an object with id, attempt',
);

const failure = z.strictObject(
  {
    message: text(10_000),
    code: z
      .string('expected text')
      .regex(/^[\w.-]{1,64}$/, 'expected 1 to 64 of the characters A-Z a-z 0-9 . _ -')
      .default('executor_error'),
    retryable: z.boolean('expected true or false').default(true),
  },
  'expected an object with message',
);

const OUTCOMES_WITH_ERROR = ['failed', 'timed_out', 'cancelled'] as const;

/** `PUT /commands/:id/result`. */
export const resultBody = z
  .strictObject(
    {
      agentId,
      attempt: attempt.exactOptional(),
      session: session.exactOptional(),
      outcome: z
        .enum(OUTCOMES_WITH_ERROR, `expected one of ${OUTCOMES_WITH_ERROR.join(', ')}`)
        .exactOptional(),
      result: z.unknown().optional(),
      error: failure.exactOptional(),
    },
    'expected an object with agentId, and result or error',
  )
  .refine(
    ({ result, error }) => (result === undefined || result === null) !== (error === undefined),
    {
      path: ['result'],
      error: 'expected either a result, which may not be null, or an error',
    },
  )
  .refine(({ outcome, error }) => outcome === undefined || error !== undefined, {
    path: ['outcome'],
    error: 'expected only with an error',
  })
  .meta({
    oneOf: [
      { required: ['result'], properties: { result: { not: { type: 'null' } } } },
      { required: ['error'] },
    ],
    dependentRequired: { outcome: ['error'] },
  });

const contract = z.strictObject(
  {
    type: typeName,
    description: text(10_000).default(''),
    payloadSchema: schema(),
    resultSchema: schema().default({}),
    defaultTimeoutMs: wholeNumber(1, THIRTY_DAYS_MS).default(60_000),
    timeoutPayloadKey: text(100).nullable().default(null),
  },
  'expected an object with type and payloadSchema',
);

/** `POST /agents`. */
export const registration = z.strictObject(
  {
    agentId: agentId.exactOptional(),
    session: session.exactOptional(),
    concurrency: wholeNumber(1, MOST_ITEMS).default(1),
    queues: queues.default([DEFAULT_QUEUE]),
    types: types.default(SIMPLE_TYPES),
    host: text(200).nullable().default(null),
    pid: wholeNumber(0, 2 ** 31 - 1)
      .nullable()
      .default(null),
    version: text(200).nullable().default(null),
    contracts: once(list(contract, 'contracts', 0, MOST_NAMES), ({ type }) => type, [
      'type',
    ]).default([]),
  },
  'expected an object',
);

/** `POST /agents/:id/beat`. */
export const beatBody = z.strictObject(
  {
    session,
    running: list(attemptKey, 'attempts', 0, 10 * MOST_ITEMS),
    settledClaimNo: claimNo.nullable().default(null),
    draining: z.boolean('expected true or false').default(false),
    wait: wholeNumber(0, LONGEST_HELD_BEAT_SECONDS).default(0),
  },
  'expected an object with session and running',
);

const report = z.discriminatedUnion(
  'outcome',
  [
    z.strictObject({
      id: commandId,
      attempt,
      outcome: z.literal('completed'),
      result: z.unknown().optional(),
    }),
    z.strictObject({
      id: commandId,
      attempt,
      outcome: z.enum(OUTCOMES_WITH_ERROR),
      error: failure,
    }),
  ],
  `expected a report whose outcome is completed, ${OUTCOMES_WITH_ERROR.join(', ')}`,
);

/** `POST /agents/:id/results`. */
export const resultsBody = z.strictObject(
  { session, reports: once(list(report, 'reports', 1, MOST_ITEMS), keyOf) },
  'expected an object with session and reports',
);

const line = z.strictObject(
  { no: wholeNumber(1, 1_000), line: text(LINE_CHARACTERS) },
  'expected an object with no and line',
);

const share = z
  .number('expected a number')
  .min(0, 'expected at least 0')
  .max(1, 'expected at most 1');

const progressReport = z.strictObject(
  {
    id: commandId,
    attempt,
    progress: share.nullable().exactOptional(),
    message: text(PROGRESS_CHARACTERS).nullable().exactOptional(),
    lines: list(line, 'lines', 0, MOST_ITEMS).exactOptional(),
  },
  'expected an object with id, attempt',
);

/** `POST /agents/:id/progress`. */
export const progressBody = z.strictObject(
  { session, reports: once(list(progressReport, 'reports', 1, MOST_ITEMS), keyOf) },
  'expected an object with session and reports',
);

const givenBack = z.strictObject(
  {
    id: commandId,
    attempt,
    started: z.boolean('expected true or false').exactOptional().meta({
      description:
        'false: nothing of it was done, so that it may be repeated whatever its delivery.',
    }),
  },
  'expected an object with id, attempt',
);

/** `POST /agents/:id/release`. */
export const releaseBody = z.strictObject(
  { session, claims: list(givenBack, 'attempts', 1, 10 * MOST_ITEMS) },
  'expected an object with session and claims',
);

/** `POST /agents/:id/sign-off`. */
export const signOffBody = z.strictObject({ session }, 'expected an object with session');

/** A schema is an object here; `true` and `false`, which JSON Schema knows too, say nothing worth it. */
function schema() {
  return z.record(z.string(), z.unknown(), 'expected a JSON Schema, as an object');
}

/** Characters are code points, as they are in the database. */
function text(most: number) {
  return z
    .string('expected text')
    .refine((given) => countCharacters(given, most) <= most, `expected at most ${most} characters`)
    .meta({ maxLength: most });
}

function names(name: z.ZodType<string>, what: string) {
  return once(list(name, `names of ${what}`, 1, MOST_NAMES), (one) => one);
}

/** Counted before they are looked at. */
function list<T>(item: z.ZodType<T>, what: string, least: number, most: number) {
  const counted = (value: unknown, ctx: z.RefinementCtx): unknown => {
    if (Array.isArray(value) && value.length >= least && value.length <= most) return value;
    ctx.addIssue({ code: 'custom', message: `expected a list of ${least} to ${most} ${what}` });
    return z.NEVER;
  };
  return z.preprocess(counted, z.array(item)).meta({ minItems: least, maxItems: most });
}

/** A list in which no two items have the same key; the second one, or its member, is at fault. */
function once<T>(all: z.ZodType<T[]>, key: (item: T) => string, member: string[] = []) {
  return all
    .superRefine((items, ctx) => {
      const seen = new Set<string>();
      for (const [i, item] of items.entries()) {
        if (seen.has(key(item)))
          ctx.addIssue({ code: 'custom', path: [i, ...member], message: 'expected each once' });
        seen.add(key(item));
      }
    })
    .meta({ uniqueItems: true });
}

function keyOf({ id, attempt }: AttemptKey): string {
  return `${id} ${attempt}`;
}

/** A list in a query, if it is there: with commas between. */
function listed(all: ReturnType<typeof names>, name: RegExp) {
  const items = { type: 'string' as const, pattern: name.source };
  return z
    .string()
    .transform((given): unknown => given.split(','))
    .pipe(all)
    .exactOptional()
    .meta({
      param: { explode: false },
      override: { type: 'array', items, minItems: 1, maxItems: MOST_NAMES, uniqueItems: true },
    });
}

function digits(most: number) {
  const expected = `expected a whole number from 0 to ${most}`;
  return z
    .string()
    .regex(/^\d{1,16}$/, expected)
    .transform(Number)
    .pipe(z.number().max(most, expected))
    .meta({ type: 'integer', minimum: 0, maximum: most });
}
