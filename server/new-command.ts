// What a submitted command may be: a type, its payload, and options that say how to treat it. The bounds
// are those of the ledger's constraints, so that nothing of this fails there.
//
// Whatever a body holds, checking it takes no more than a look at each member: what may have any size or
// shape is not taken apart, and arrays are counted before they are. What zod's JSON Schema of this would
// not say is in `meta`.

import { z } from 'zod';
import { DELIVERIES } from '../db/command-json.ts';
import type { CommandOptions, NewCommand } from '../db/commands.ts';
import { EXPECTED_NAME, NAME } from '../db/names.ts';
import { parse } from './parse.ts';
import { oneOf } from './query.ts';

export const THIRTY_DAYS_MS = 30 * 24 * 60 * 60 * 1_000;

const MAX_TAGS = 20;
const MAX_TAG_LENGTH = 100;
const MAX_TAGS_BYTES = 2_000;
const MAX_METADATA_BYTES = 16 * 1024;
const MAX_KEY_BYTES = 255;

const WRONG_COMMAND = { at: [], code: 'invalid_command', detail: 'This is no command.' };
const WRONG_PAYLOAD = { at: ['payload'], code: 'invalid_payload', detail: 'This is no payload.' };

// Years and zones that Postgres knows; zod knows the calendar.
const TIMESTAMP = /^[12]\d{3}-[\d-]{5}T[\d:]{8}(\.\d{1,9})?(Z|[+-](0\d|1[0-4]):[0-5]\d)$/;
const EXPECTED_TIMESTAMP = 'expected a time such as 2030-01-31T08:30:00Z or …+02:00';

const backoff = z.strictObject(
  {
    initialMs: wholeNumber(0, THIRTY_DAYS_MS).exactOptional(),
    factor: z
      .number('expected a number')
      .min(1, 'expected at least 1')
      .max(1_000, 'expected at most 1000')
      .exactOptional(),
    maxMs: wholeNumber(0, THIRTY_DAYS_MS).exactOptional(),
  },
  'expected an object with initialMs, factor or maxMs',
);

const tag = z
  .string('expected text')
  .min(1, 'expected some text')
  .refine((text) => countCharacters(text, MAX_TAG_LENGTH) <= MAX_TAG_LENGTH, {
    error: `expected at most ${MAX_TAG_LENGTH} characters`,
    abort: true,
  })
  .meta({ maxLength: MAX_TAG_LENGTH });

const EXPECTED_TAGS = `expected a list of at most ${MAX_TAGS} tags`;
const tags = z
  .custom<unknown[]>((value) => Array.isArray(value) && value.length <= MAX_TAGS, EXPECTED_TAGS)
  .pipe(z.array(tag))
  .refine(
    (texts) => Buffer.byteLength(texts.join('')) <= MAX_TAGS_BYTES,
    `expected at most ${MAX_TAGS_BYTES} bytes in all`,
  )
  .meta({
    type: 'array',
    items: { type: 'string', minLength: 1, maxLength: MAX_TAG_LENGTH },
    maxItems: MAX_TAGS,
    description: `Words to find it by, of at most ${MAX_TAGS_BYTES} bytes in all.`,
  });

const anyObject = z
  .custom<Record<string, unknown>>(isObject, 'expected an object')
  .meta({ type: 'object' });

const metadata = anyObject
  .refine(
    (object) => Buffer.byteLength(JSON.stringify(object)) <= MAX_METADATA_BYTES,
    `expected at most ${MAX_METADATA_BYTES} bytes of JSON`,
  )
  .meta({
    type: 'object',
    description: `Whatever is to be kept with it, of at most ${MAX_METADATA_BYTES} bytes.`,
  });

const key = z
  .string('expected text')
  .min(1, 'expected some text')
  .refine(
    (text) => Buffer.byteLength(text) <= MAX_KEY_BYTES,
    `expected at most ${MAX_KEY_BYTES} bytes`,
  )
  .meta({ maxLength: MAX_KEY_BYTES });

export const agentId = z.string('expected the id of an agent').regex(NAME, EXPECTED_NAME);

const target = z.strictObject({ agentId }, 'expected an object with agentId');

/** A command as a body holds it; its payload is looked at apart. */
export const envelope = z
  .strictObject(
    {
      type: z.string('expected the name of a command type'),
      payload: z.unknown().optional(),
      maxAttempts: wholeNumber(1, 1_000).exactOptional(),
      backoff: backoff.exactOptional(),
      delivery: oneOf(DELIVERIES).exactOptional(),
      timeoutMs: wholeNumber(1, THIRTY_DAYS_MS).exactOptional(),
      runAt: z.iso
        .datetime({ offset: true, error: EXPECTED_TIMESTAMP, abort: true })
        .regex(TIMESTAMP, EXPECTED_TIMESTAMP)
        .meta({ format: 'date-time' })
        .exactOptional(),
      delayMs: wholeNumber(0, THIRTY_DAYS_MS).exactOptional(),
      priority: wholeNumber(-100, 100).exactOptional(),
      queue: z.string('expected the name of a queue').exactOptional(),
      target: target.exactOptional(),
      tags: tags.exactOptional(),
      metadata: metadata.exactOptional(),
      concurrencyKey: key.exactOptional(),
      idempotencyKey: key.exactOptional(),
    },
    'expected an object with type and payload',
  )
  .refine(({ runAt, delayMs }) => runAt === undefined || delayMs === undefined, {
    path: ['delayMs'],
    error: 'runAt is given too: expected one of the two',
  });

/** A command that is well-formed; whether its type, queue and payload go together is not asked yet. */
export type Submission = Omit<NewCommand, 'id' | 'batchId'>;

/** @throws Problem 400, with pointers into the command. */
export function toSubmission(value: unknown): Submission {
  if (isWithoutOptions(value)) return value;
  const { type, payload, ...options } = parse(envelope, value, WRONG_COMMAND);
  return {
    type,
    payload: isObject(payload) ? payload : parse(anyObject, payload, WRONG_PAYLOAD),
    ...(options satisfies CommandOptions),
  };
}

// Most commands are, and zod would look for each option that there is.
function isWithoutOptions(value: unknown): value is Pick<Submission, 'type' | 'payload'> {
  if (!isObject(value)) return false;
  for (const member in value) if (member !== 'type' && member !== 'payload') return false;
  return typeof value['type'] === 'string' && isObject(value['payload']);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function wholeNumber(least: number, most: number) {
  const expected = `expected a whole number from ${least} to ${most}`;
  return z
    .number(expected)
    .refine((n) => Number.isInteger(n) && n >= least && n <= most, expected)
    .meta({ type: 'integer', minimum: least, maximum: most });
}

// Code points. Long text is not taken apart to be counted.
export function countCharacters(text: string, most: number): number {
  return text.length > 2 * most ? Infinity : Array.from(text).length;
}
